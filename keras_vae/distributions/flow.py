"""A prior: real-valued non-volume preserving flow."""

import keras
import numpy as np
from keras import ops

from keras_vae.distributions.normal import normal_log_prob
from keras_vae.distributions.priors import Prior
from keras_vae.errors import whole_number

MAX_LOG_SCALE = 2.0  # of one coupling


@keras.saving.register_keras_serializable(package="keras_vae")
class Flow(Prior):
    """A normalizing flow of affine couplings (RealNVP), which starts as N(0, I).

    Dinh, Sohl-Dickstein & Bengio (2017), eq. 9: z = f_1(f_2(... f_C(u))), u from
    N(0, I). Each coupling keeps some latents, b = 1, and moves the others by what a
    network makes of those that it keeps:

        s, t = (1 - b) * network(b * u);  f(u) = u * exp(s) + t
        log p(z) = log N(u; 0, I) - sum of all s

    A coupling has an inverse of the same form, so that density and draws are one pass
    each, without a loop. Couplings come in pairs that keep each other's complement: the
    latents whose index is even, then those whose half is, and so on, by the bits of the
    index. The networks have two hidden layers of tanh; s is bounded to [-2, 2]. A
    single latent is kept by none, so that it is scaled and shifted alone.

    Args:
        latent_dim: int >= 1, the number of latents D.
        num_couplings: int from 1 to 100, affine couplings C.
        hidden: int from 1 to 10,000, the width of the couplings' networks.
        seed: int or None, for the initial weights.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If a number is not a positive integer.

    Example:
        >>> prior = Flow(latent_dim=20, num_couplings=8, seed=0)
        >>> tuple(prior.log_prob(ops.zeros((8, 20))).shape)
        (8,)
    """

    def __init__(
        self,
        latent_dim: int,
        num_couplings: int = 8,
        hidden: int = 128,
        seed: int | None = 0,
        **kwargs,
    ):
        super().__init__(latent_dim, **kwargs)
        self.num_couplings = whole_number("num_couplings", num_couplings, maximum=100)
        self.hidden = whole_number("hidden", hidden, maximum=10_000)
        self.seed = seed
        couplings = range(self.num_couplings)
        self._kept = [self._mask(index) for index in couplings]
        self._couplings = [self._add_coupling(index) for index in couplings]
        self.built = True

    def _mask(self, index):
        """Which latents a coupling keeps: 0 or 1, float32 (D,)."""
        bits = (self.latent_dim - 1).bit_length()
        if not bits:
            return np.zeros(1, np.float32)
        bit = np.arange(self.latent_dim) >> (index // 2 % bits) & 1
        return (bit == index % 2).astype("float32")

    def _add_coupling(self, index):
        """The weights of a network: three kernels, each with its bias."""
        widths = [self.latent_dim, self.hidden, self.hidden, 2 * self.latent_dim]
        weights = []
        for layer, shape in enumerate(zip(widths, widths[1:], strict=False)):
            start = "zeros" if layer == 2 else self._glorot(index, layer)
            name = f"coupling_{index}_{layer}"
            weights += [
                self.add_weight(shape, start, name=f"{name}_kernel"),
                self.add_weight(shape[1:], "zeros", name=f"{name}_bias"),
            ]
        return weights

    def _glorot(self, *place):
        """An initializer with a seed of its own for each kernel."""
        seed = self.seed
        if seed is not None:
            seed = int(np.random.default_rng([seed, *place]).integers(2**31))
        return keras.initializers.GlorotUniform(seed=seed)

    def _scale_and_shift(self, z, index):
        """log_scale and shift of a coupling, (..., D), 0 for the latents it keeps."""
        kept, weights = self._kept[index], self._couplings[index]
        h = ops.tanh(ops.matmul(z * kept, weights[0]) + weights[1])
        h = ops.tanh(ops.matmul(h, weights[2]) + weights[3])
        output = ops.matmul(h, weights[4]) + weights[5]
        log_scale, shift = ops.split(output, 2, axis=-1)
        log_scale = MAX_LOG_SCALE * ops.tanh(log_scale / MAX_LOG_SCALE)
        return (1 - kept) * log_scale, (1 - kept) * shift

    def to_noise(self, z):
        """The inverse of `from_noise`, and the sum of its log-scales.

        Args:
            z: float (..., latent_dim).

        Returns:
            The noise, float (..., latent_dim), and the log of the absolute determinant
            of its Jacobian by z, float (...).
        """
        log_determinant = 0.0
        for index in range(self.num_couplings):
            log_scale, shift = self._scale_and_shift(z, index)
            z = (z - shift) * ops.exp(-log_scale)
            log_determinant = log_determinant - ops.sum(log_scale, axis=-1)
        return z, log_determinant

    def log_prob(self, z, encode=None):
        normal, log_determinant = self.to_noise(z)
        return ops.sum(normal_log_prob(normal), axis=-1) + log_determinant

    def from_noise(self, normal, uniform):
        z = normal
        for index in reversed(range(self.num_couplings)):
            log_scale, shift = self._scale_and_shift(z, index)
            z = z * ops.exp(log_scale) + shift
        return z

    def get_config(self):
        return {
            **super().get_config(),
            "num_couplings": self.num_couplings,
            "hidden": self.hidden,
            "seed": self.seed,
        }
