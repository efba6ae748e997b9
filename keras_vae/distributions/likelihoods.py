"""Likelihoods p(x|z): what a decoder's output says about the pixels.

`Likelihood` is the contract; the table of names is in `keras_vae.distributions.table`.

`params`, the decoder's output, is float (..., H, W, C * K): K blocks of C channels. `x`
is float (B, H, W, C) in [0, 1] and broadcasts against the leading axes of `params`, so
that one batch serves S samples.
"""

import abc
import math
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_vae.distributions.normal import LOG_2PI
from keras_vae.distributions.sampling import bound_log_var
from keras_vae.errors import number, unknown

LOG1P = (  # of the polynomial in `_log1p`, from x^0 on
    *(0.999999966, -0.49999445, 0.333181217, -0.24835399, 0.190768807),
    *(-0.136022476, 0.0775160866, -0.0290740646, 0.00512610212),
)


class Likelihood(keras.layers.Layer, abc.ABC):
    """What every likelihood is; it knows nothing of decoders or models.

    Calling one gives its `mean`. `keras_vae.testing.check_likelihood` holds a subclass
    to this contract.

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Attributes:
        num_params: int K, the decoder's outputs for each pixel and channel.
        levels: int or None, the number of values of a pixel that have probabilities,
            as bits per dimension need; None where exp(log_prob) is a density.
        takes_logits: Whether a decoder that ends in a sigmoid is a mistake.

    Example:
        >>> class Laplace(Likelihood):
        ...     num_params = 1
        ...     def log_prob(self, params, x):
        ...         return -ops.sum(abs(x - params) + math.log(2), axis=(-3, -2, -1))
        ...     def mean(self, params):
        ...         return ops.clip(params, 0.0, 1.0)
        ...     def sample(self, params, seed=None):
        ...         u = keras.random.uniform(ops.shape(params), -1, 1, seed=seed)
        ...         noise = -ops.sign(u) * ops.log(1 - abs(u))
        ...         return ops.clip(params + noise, 0.0, 1.0)
        ...     def output_bias(self, data_mean):
        ...         return np.asarray(data_mean)
    """

    num_params: int
    levels: int | None = None
    takes_logits = False

    def call(self, params):
        return self.mean(params)

    @abc.abstractmethod
    def log_prob(self, params, x) -> Any:
        """The log-likelihood of x.

        Args:
            params: float (..., H, W, C * K).
            x: float (B, H, W, C) in [0, 1].

        Returns:
            float (...), nats per image, summed over the pixels.
        """

    @abc.abstractmethod
    def mean(self, params) -> Any:
        """The mean image, float (..., H, W, C) in [0, 1]."""

    @abc.abstractmethod
    def sample(self, params, seed=None) -> Any:
        """Draws an image, float (..., H, W, C) in [0, 1]."""

    @abc.abstractmethod
    def output_bias(self, data_mean) -> np.ndarray:
        """The decoder's output bias that gives the mean image of the training data.

        Args:
            data_mean: float (H, W, C) in [0, 1].

        Returns:
            float32 (H, W, C * K), NumPy.
        """


@keras.saving.register_keras_serializable(package="keras_vae")
class Bernoulli(Likelihood):
    """Independent Bernoulli pixels, from logits.

    log p(x|z) = sum_i x_i log(mean_i) + (1 - x_i) log(1 - mean_i), mean = sigmoid(l)
    of the logit l (Kingma & Welling 2014, eq. 11): the negative binary cross-entropy.
    Computed as (x - [l >= 0]) l - log(1 + exp(-|l|)), exact at any logit. Grey pixels
    in [0, 1] are accepted by custom, but only {0, 1} is normalized; the density of grey
    pixels is `ContinuousBernoulli`.

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Example:
        >>> logits = ops.zeros((1, 28, 28, 1))
        >>> round(float(Bernoulli().log_prob(logits, ops.ones((1, 28, 28, 1)))[0]), 2)
        -543.43
    """

    num_params = 1
    levels = 2
    takes_logits = True

    def log_prob(self, params, x):
        # `where` rather than `abs`, whose gradient at a logit of exactly 0, where an
        # untrained decoder may start, is 0: then the sum's would not be x - 0.5
        positive = params >= 0
        softplus = _log1p(ops.exp(ops.where(positive, -params, params)))
        slope = ops.where(positive, x - 1.0, x)
        return _sum_pixels(slope * params - softplus)

    def mean(self, params):
        return ops.sigmoid(params)

    def sample(self, params, seed=None):
        uniform = keras.random.uniform(ops.shape(params), seed=seed)
        return ops.cast(uniform < self.mean(params), params.dtype)

    def output_bias(self, data_mean):
        """The logits of `data_mean`, kept within [0.001, 0.999]."""
        mean = np.clip(np.asarray(data_mean, np.float32), 1e-3, 1.0 - 1e-3)
        return np.log(mean) - np.log1p(-mean)


@keras.saving.register_keras_serializable(package="keras_vae")
class ContinuousBernoulli(Likelihood):
    """Grey pixels with a density proportional to exp(l x) on [0, 1], from logits l.

    The Bernoulli formula, normalized for pixels between 0 and 1 (Loaiza-Ganem &
    Cunningham 2019): log p(x|z) = sum_i x_i l_i - log((exp(l_i) - 1) / l_i).
    The normalizer is a power series near l = 0, where it is 0 / 0.

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Example:
        >>> flat = ops.zeros((1, 28, 28, 1))  # logits 0: uniform pixels, density 1
        >>> float(ContinuousBernoulli().log_prob(flat, flat)[0])
        0.0
    """

    num_params = 1
    takes_logits = True

    def log_prob(self, params, x):
        slope = ops.where(params >= 0, x - 1.0, x)
        # log((exp(l) - 1) / l) = max(l, 0) + log((1 - exp(-a)) / a) with a = |l|
        small, magnitude = _near_zero(params)
        large = slope * params + ops.log(magnitude) - ops.log(-ops.expm1(-magnitude))
        # 0 where the other is taken, so that the series' gradient stays finite
        square = ops.where(small, ops.square(params) / 4.0, 0.0)
        series = square * (1 / 6 - square * (1 / 180 - square / 2835))
        series = (x - 0.5) * params - series
        return _sum_pixels(ops.where(small, series, large))

    def mean(self, params):
        """The mean image 1 / (1 - exp(-l)) - 1 / l, float (..., H, W, C) in [0, 1]."""
        small, magnitude = _near_zero(params)
        large = 0.5 / ops.tanh(0.5 * magnitude) - 1.0 / magnitude
        square = ops.square(params)
        series = params * (1 / 12 - square * (1 / 720 - square / 30240))
        return 0.5 + ops.where(small, series, ops.sign(params) * large)

    def sample(self, params, seed=None):
        """Draws pixels by the inverse of the distribution function, (..., H, W, C)."""
        uniform = keras.random.uniform(ops.shape(params), seed=seed)
        magnitude = ops.maximum(ops.abs(params), 1e-6)
        falling = -ops.log1p(uniform * ops.expm1(-magnitude)) / magnitude
        return ops.clip(ops.where(params > 0, 1.0 - falling, falling), 0.0, 1.0)

    def output_bias(self, data_mean):
        """The logits whose mean is `data_mean`, kept within [-100, 100]."""
        logits = np.linspace(-100.0, 100.0, 20_000)  # an even number: never 0
        means = 0.5 / np.tanh(0.5 * logits) - 1.0 / logits + 0.5
        return np.interp(data_mean, means, logits).astype(np.float32)


@keras.saving.register_keras_serializable(package="keras_vae")
class Gaussian(Likelihood):
    """Gaussian pixels around the decoder's output: p(x|z) = N(f(z), sigma^2 I).

    log p(x|z) = -1/2 sum_i log(2 pi sigma^2) + (x_i - f_i(z))^2 / sigma^2, with every
    constant, so that values under different sigmas compare. With a fixed sigma the
    gradient is that of squared error / (2 sigma^2) (Doersch 2016, section 2.1). A
    learned sigma (Rybkin et al. 2021) or a predicted one is sqrt(s^2 + 1/256^2): a
    pixel that never changes would else have an infinite density.

    Args:
        sigma: float > 0, the standard deviation on the scale of pixels in [0, 1]; where
            it is not fixed, the value that s starts from.
        scale: Whether sigma is fixed; learned, one for all pixels, with the weights; or
            predicted, the decoder's second output for every pixel.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If `sigma` or `scale` is not one of these.

    Example:
        >>> x = ops.zeros((1, 28, 28, 1))
        >>> round(float(Gaussian(sigma=1.0, scale="fixed").log_prob(x, x)[0]), 2)
        -720.45
    """

    def __init__(
        self,
        sigma: float = 0.1,
        scale: Literal["fixed", "learned", "predicted"] = "learned",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.sigma = number("sigma", sigma, minimum=1e-6)
        if scale not in (scales := ("fixed", "learned", "predicted")):
            raise unknown("scale", scale, scales)
        self.scale = scale
        self.num_params = 2 if scale == "predicted" else 1
        if scale == "learned":
            start = keras.initializers.Constant(2.0 * math.log(self.sigma))
            self.log_var = self.add_weight(shape=(), name="log_var", initializer=start)
        self.built = True

    def split(self, params):
        """The mean, float (..., H, W, C), and the log-variance of the pixels."""
        if self.scale == "fixed":
            return params, 2.0 * math.log(self.sigma)
        if self.scale == "learned":
            mean, log_var = params, ops.convert_to_tensor(self.log_var)
        else:
            mean, log_var = ops.split(params, 2, axis=-1)
        floor = -2.0 * math.log(256.0)
        return mean, ops.logaddexp(bound_log_var(log_var), floor)

    def log_prob(self, params, x):
        mean, log_var = self.split(params)
        square = ops.square(x - mean) * ops.exp(-log_var)
        return -0.5 * _sum_pixels(LOG_2PI + log_var + square)

    def mean(self, params):
        """The mean image, clipped to [0, 1], float (..., H, W, C)."""
        return ops.clip(self.split(params)[0], 0.0, 1.0)

    def sample(self, params, seed=None):
        """Draws pixels, clipped to [0, 1], float (..., H, W, C)."""
        mean, log_var = self.split(params)
        noise = keras.random.normal(ops.shape(mean), seed=seed)
        return ops.clip(mean + ops.exp(0.5 * log_var) * noise, 0.0, 1.0)

    def output_bias(self, data_mean):
        """`data_mean`, and log(sigma^2) where it is predicted."""
        parts = [np.asarray(data_mean, np.float32)]
        if self.scale == "predicted":
            parts.append(np.full_like(parts[0], 2.0 * math.log(self.sigma)))
        return np.concatenate(parts, axis=-1)

    def get_config(self):
        return {**super().get_config(), "sigma": self.sigma, "scale": self.scale}


def bits_per_dimension(nll, image_shape):
    """Converts nats per image to bits per pixel and channel.

    Only where exp(-nll) is the probability of an image: see `levels` of the likelihoods
    and `keras_vae.data.binarization.pixel_levels`.

    Args:
        nll: float (...), negative log-likelihood in nats per image.
        image_shape: (H, W, C).

    Returns:
        float (...).

    Example:
        >>> round(bits_per_dimension(28 * 28 * math.log(256), (28, 28, 1)), 6)
        8.0
    """
    return nll / (math.prod(image_shape) * math.log(2.0))


def _near_zero(logits):
    """Where |logit| < 0.5, and |logit| with 1 put there, to keep logs finite."""
    magnitude = ops.abs(logits)
    small = magnitude < 0.5
    return small, ops.where(small, 1.0, magnitude)


def _sum_pixels(values):
    """The sum over H, W and C of values (..., H, W, C), (...).

    As a product with ones, which XLA computes together with the values: on a CPU in a
    quarter of the time that they and their `sum` take.
    """
    return ops.einsum("...hwc,hwc->...", values, ops.ones(values.shape[-3:]))


@ops.custom_gradient
def _log1p(x):
    """log(1 + x) for x in [0, 1], to float32 rounding.

    x times the Chebyshev interpolant of log(1 + x) / x of degree 8, whose relative
    error is 3.4e-8. On a CPU it takes a quarter of the time of `log1p`, which must be
    right for all x.
    """
    value = LOG1P[-1]
    for coefficient in LOG1P[-2::-1]:
        value = value * x + coefficient

    def gradient(upstream):
        return upstream / (1.0 + x)

    return value * x, gradient
