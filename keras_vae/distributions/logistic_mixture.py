"""A likelihood: the mixture of discretized logistics, for 8-bit pixels."""

import keras
import numpy as np
from keras import ops

from keras_vae.distributions.likelihoods import Likelihood
from keras_vae.distributions.sampling import bound
from keras_vae.errors import whole_number

LEVELS = 255.0  # the largest grey value of 8-bit pixels
QUADRATURE = ((-(0.6**0.5), 5 / 9), (0.0, 8 / 9), (0.6**0.5, 5 / 9))  # on [-1, 1]


@keras.saving.register_keras_serializable(package="keras_vae")
@keras.saving.register_keras_serializable(  # its name in older files
    package="keras_vae", name="DiscretisedLogisticMixture"
)
class DiscretizedLogisticMixture(Likelihood):
    """8-bit pixels: a mixture of logistic distributions, rounded to 256 levels.

    Salimans et al. (2017), PixelCNN++, sections 2.1 and 2.2: the probability of a level
    is the mass of its bin, the outer bins reach to infinity, and in color images the
    mean of green shifts with red, that of blue with red and green. The mass of a bin is
    computed in logs, log s(a) + log s(-b) + log(1 - exp(b - a)) for the sigmoid s at
    the bin's ends a > b, exact in the far tails. Pixels are k / 255, k = 0 to 255.

    A pixel has `num_mixtures` M components. The decoder gives for each component and
    channel a logit (averaged over the channels: they share a component), a mean and a
    log-scale on the scale of [-1, 1], and a coupling coefficient (unused in grey).

    Args:
        num_mixtures: int from 1 to 1,000, components M of a pixel.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If `num_mixtures` is not a positive integer.

    Example:
        >>> likelihood = DiscretizedLogisticMixture(num_mixtures=5)
        >>> x = ops.zeros((8, 32, 32, 3))
        >>> log_prob = likelihood.log_prob(ops.zeros((8, 32, 32, 60)), x)
        >>> tuple(bits_per_dimension(-log_prob, x.shape[1:]).shape)
        (8,)
    """

    levels = 256

    def __init__(self, num_mixtures: int = 5, **kwargs):
        super().__init__(**kwargs)
        self.num_mixtures = whole_number("num_mixtures", num_mixtures, maximum=1000)
        self.num_params = 4 * self.num_mixtures

    def split(self, params):
        """Log-weights (..., H, W, M); means, log-scales, coefficients (..., M, C)."""
        # not `reshape`, whose shape would be unknown in a Functional model
        logits, means, log_scales, coefficients = (
            ops.stack(ops.split(block, self.num_mixtures, axis=-1), axis=-2)
            for block in ops.split(params, 4, axis=-1)
        )  # each (..., H, W, M, C)
        log_weight = ops.log_softmax(ops.mean(logits, axis=-1), axis=-1)
        # exp(-7) on [-1, 1] is a tenth of a grey level, exp(7) is flat
        log_scales = bound(log_scales, -7.0, 7.0)
        return log_weight, means, log_scales, ops.tanh(coefficients)

    def log_prob(self, params, x):
        """The log probability of x.

        Args:
            params: float (..., H, W, C * 4 * M).
            x: float (B, H, W, C), k / 255 with k = 0 to 255.

        Returns:
            float (...,), nats per image, <= 0.
        """
        log_weight, mean, log_scale, coefficient = self.split(params)
        x = 2.0 * x[..., None, :] - 1.0  # (B, H, W, 1, C) in [-1, 1]
        mean = ops.stack(
            _couple(mean, coefficient, lambda channel, _: x[..., channel])[0], axis=-1
        )  # (..., H, W, M, C)
        centered, precision = x - mean, ops.exp(-log_scale)
        upper = precision * (centered + 1.0 / LEVELS)
        lower = precision * (centered - 1.0 / LEVELS)
        below_upper = -ops.softplus(-upper)  # log of the sigmoid
        above_lower = -ops.softplus(lower)
        width = ops.log(-ops.expm1(-precision * (2.0 / LEVELS)))
        inner = below_upper + above_lower + width
        log_prob = ops.where(x < -0.999, below_upper, inner)
        log_prob = ops.where(x > 0.999, above_lower, log_prob)
        log_prob = ops.sum(log_prob, axis=-1) + log_weight  # (..., H, W, M)
        return ops.sum(ops.logsumexp(log_prob, axis=-1), axis=(-2, -1))

    def mean(self, params):
        """The mean image, float (..., H, W, C) in [0, 1].

        The mean of logistics clipped to the range of pixels, in closed form: within
        half a grey level of the mean over the 256 levels in grey images. In color, the
        coupling is taken at the mean of the channels before. A logistic's share is the
        integral of sigmoid((mean - x) / s) over x from -1 to 1, written so that nothing
        overflows and no digits cancel, in whatever runtime computes it.
        """
        log_weight, mean, log_scale, coefficient = self.split(params)
        scale = ops.exp(log_scale)

        def clipped_mean(channel, mean):
            s = scale[..., channel]
            upper, lower = (ops.exp(-ops.abs(mean + end) / s) for end in (1.0, -1.0))
            narrow = ops.clip(mean, -1.0, 1.0)
            narrow = narrow + s * (ops.log(1.0 + upper) - ops.log(1.0 + lower))
            wide = sum(  # by Gauss and Legendre, right to 2e-8
                weight * ops.sigmoid((mean - x) / s) for x, weight in QUADRATURE
            )
            return ops.where(s > 4.0, wide - 1.0, narrow)

        values = _couple(mean, coefficient, clipped_mean)[1]
        value = ops.sum(
            ops.exp(log_weight)[..., None] * ops.stack(values, axis=-1), axis=-2
        )
        return ops.clip(0.5 * value + 0.5, 0.0, 1.0)

    def sample(self, params, seed=None):
        """Draws 8-bit pixels k / 255, float (..., H, W, C)."""
        if not isinstance(seed, keras.random.SeedGenerator):
            seed = keras.random.SeedGenerator(seed)
        log_weight, mean, log_scale, coefficient = self.split(params)

        def uniform(like):
            return keras.random.uniform(ops.shape(like), 1e-7, 1.0 - 1e-7, seed=seed)

        gumbel = -ops.log(-ops.log(uniform(log_weight)))
        chosen = ops.argmax(log_weight + gumbel, axis=-1)
        chosen = ops.one_hot(chosen, self.num_mixtures, dtype=params.dtype)[..., None]
        mean, log_scale, coefficient = (
            ops.sum(chosen * part, axis=-2) for part in (mean, log_scale, coefficient)
        )  # each (..., H, W, C)

        def draw(channel, mean):
            u = uniform(mean)
            logistic = ops.log(u) - ops.log1p(-u)
            value = mean + ops.exp(log_scale[..., channel]) * logistic
            level = ops.round((ops.clip(value, -1.0, 1.0) + 1.0) * (LEVELS / 2))
            return level * (2 / LEVELS) - 1.0

        value = ops.stack(_couple(mean, coefficient, draw)[1], axis=-1)
        return ops.round((value + 1.0) * (LEVELS / 2)) / LEVELS

    def output_bias(self, data_mean):
        """Components around `data_mean`, a third of the range apart, scale exp(-2)."""
        mean = 2.0 * np.asarray(data_mean, np.float32) - 1.0
        offsets = (
            np.linspace(-1, 1, self.num_mixtures) / 3 if self.num_mixtures > 1 else [0]
        )
        means = [mean + offset for offset in offsets]
        zeros = [np.zeros_like(mean)] * self.num_mixtures
        scales = [np.full_like(mean, -2.0)] * self.num_mixtures
        bias = np.concatenate([*zeros, *means, *scales, *zeros], axis=-1)
        return bias.astype(np.float32)

    def get_config(self):
        return {**super().get_config(), "num_mixtures": self.num_mixtures}


def _couple(means, coefficients, value_of):
    """Shifts each channel's mean by the values of the channels before it.

    Args:
        means: float (..., C).
        coefficients: float (..., C), for (green, red), (blue, red), (blue, green).
        value_of: From a channel and its shifted mean to the channel's value.

    Returns:
        The shifted means and the values, lists over the channels.
    """
    shifted, values = [], []
    pairs = [(1, 0), (2, 0), (2, 1)]
    for channel in range(means.shape[-1]):
        mean = means[..., channel]
        for index, (this, before) in enumerate(pairs):
            if this == channel:
                mean = mean + coefficients[..., index] * values[before]
        shifted.append(mean)
        values.append(value_of(channel, mean))
    return shifted, values
