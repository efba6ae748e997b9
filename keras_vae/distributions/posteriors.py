"""Posteriors q(z|x): how an encoder's output becomes a distribution over z.

Every posterior is a Keras layer with the same interface, and knows nothing of encoders,
priors or models:

    num_params                               int P, the width of the encoder's output
    sample_and_log_prob(params, num_samples) -> z (S, B, D), log q(z|x) (S, B)
    mean(params)                             -> float (B, D), where x is encoded
    split(params)                            -> the distribution's own parameters
    log_prob(params, z)                      -> float (S, B) for z (S, B, D)

S counts samples, B the images of a batch, D is `latent_dim`; densities are in nats per
image, summed over the latent dimensions. Draws are differentiable in `params`.
`log_prob`, the density at any point, is missing where it has no direct formula (`IAF`).
"""

import math

import keras
import numpy as np
from keras import ops

from keras_vae.distributions.sampling import Sampling, bound_log_var, reparameterize
from keras_vae.errors import whole_number

LOG_2PI = math.log(2.0 * math.pi)


@keras.saving.register_keras_serializable(package="keras_vae")
class DiagonalGaussian(keras.layers.Layer):
    """Gaussian posterior with independent latents: q(z|x) = N(mean, exp(log_var)).

    Kingma & Welling (2014), eq. 9. The encoder's output is [mean, log_var], side by
    side, so that one matrix product makes both. Log-variances are bounded to [-30, 20].

    Args:
        latent_dim: int >= 1, the number of latents D.
        seed: int or None, for the noise.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If `latent_dim` is not a positive integer.

    Example:
        >>> posterior = DiagonalGaussian(latent_dim=20, seed=0)
        >>> z, log_q = posterior.sample_and_log_prob(ops.zeros((8, 40)), num_samples=5)
        >>> tuple(z.shape), tuple(log_q.shape)
        ((5, 8, 20), (5, 8))
    """

    def __init__(self, latent_dim: int, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = whole_number("latent_dim", latent_dim)
        self.seed = seed
        self.sampling = Sampling(seed)
        self.num_params = 2 * self.latent_dim

    def split(self, params):
        """Splits the encoder's output.

        Args:
            params: float (..., 2 * latent_dim).

        Returns:
            mean and log_var, each float (..., latent_dim).
        """
        mean, log_var = ops.split(params, 2, axis=-1)
        return mean, bound_log_var(log_var)

    def mean(self, params):
        """The posterior's mean, float (..., latent_dim)."""
        return params[..., : self.latent_dim]

    def log_prob_per_dimension(self, params, z):
        """The log density of each latent, float (..., latent_dim), in nats."""
        mean, log_var = self.split(params)
        noise = (z - mean) * ops.exp(-0.5 * log_var)
        return -0.5 * (LOG_2PI + log_var + ops.square(noise))

    def log_prob(self, params, z):
        """The log density of z, float (...), in nats, summed over the latents."""
        return ops.sum(self.log_prob_per_dimension(params, z), axis=-1)

    def sample_and_log_prob(self, params, num_samples: int = 1):
        """Draws z and gives its log density.

        Args:
            params: float (B, 2 * latent_dim).
            num_samples: int >= 1, draws for each row.

        Returns:
            z, float (num_samples, B, latent_dim), and log q(z|x), float
            (num_samples, B), in nats.
        """
        mean, log_var = self.split(params)
        noise = self.sampling.noise(mean, num_samples)  # (S, B, D)
        z = reparameterize(mean, log_var, noise)
        log_q = -0.5 * ops.sum(LOG_2PI + log_var + ops.square(noise), axis=-1)
        return z, log_q

    def get_config(self):
        config = super().get_config()
        return {**config, "latent_dim": self.latent_dim, "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_vae")
class FullGaussian(keras.layers.Layer):
    """Gaussian posterior with a full covariance: q(z|x) = N(mean, L L^T).

    The encoder gives the mean, the log-variances that stand on the diagonal of L as
    exp(log_var / 2) (bounded to [-30, 20]), and the entries of the Cholesky factor L
    below the diagonal, row by row (Kingma & Welling 2019, section 2.5.1). With those 0
    it is the `DiagonalGaussian`.

    Args:
        latent_dim: int >= 1, the number of latents D.
        seed: int or None, for the noise.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If `latent_dim` is not a positive integer.

    Example:
        >>> FullGaussian(latent_dim=20).num_params  # 20 + 20 + 20 * 19 / 2
        230
    """

    def __init__(self, latent_dim: int, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = whole_number("latent_dim", latent_dim)
        self.seed = seed
        self.sampling = Sampling(seed)
        self.num_params = self.latent_dim * (self.latent_dim + 3) // 2
        # where each entry of L is found in [0, entries below the diagonal]
        below = np.tril_indices(self.latent_dim, -1)
        self._places = np.zeros((self.latent_dim, self.latent_dim), np.int32)
        self._places[below] = 1 + np.arange(len(below[0]))

    def split(self, params):
        """Splits the encoder's output.

        Args:
            params: float (B, P).

        Returns:
            The mean, float (B, latent_dim), and the Cholesky factor L of the
            covariance, float (B, latent_dim, latent_dim), lower triangular.
        """
        mean, log_var, below = self._parts(params)
        below = ops.pad(below, [(0, 0), (1, 0)])
        lower = ops.take(below, self._places.ravel(), axis=-1)
        lower = ops.reshape(lower, (-1, self.latent_dim, self.latent_dim))
        diagonal = ops.exp(0.5 * log_var)[..., None] * ops.eye(self.latent_dim)
        return mean, lower + diagonal

    def _parts(self, params):
        """Mean, log-variances and entries below the diagonal, each (B, ...)."""
        d = self.latent_dim
        log_var = bound_log_var(params[..., d : 2 * d])
        return params[..., :d], log_var, params[..., 2 * d :]

    def mean(self, params):
        """The posterior's mean, float (B, latent_dim)."""
        return params[..., : self.latent_dim]

    def log_prob(self, params, z):
        """The log density of z (S, B, latent_dim), float (S, B), in nats."""
        mean, scale_tril = self.split(params)
        centered = ops.transpose(z - mean, (1, 2, 0))  # (B, D, S)
        noise = ops.linalg.solve_triangular(scale_tril, centered, lower=True)
        return self._log_prob_of_noise(params, ops.transpose(noise, (2, 0, 1)))

    def _log_prob_of_noise(self, params, noise):
        log_var = self._parts(params)[1]
        return -0.5 * ops.sum(LOG_2PI + log_var + ops.square(noise), axis=-1)

    def sample_and_log_prob(self, params, num_samples: int = 1):
        """Draws z and gives its log density.

        Args:
            params: float (B, P).
            num_samples: int >= 1, draws for each row.

        Returns:
            z, float (num_samples, B, latent_dim), and log q(z|x), float
            (num_samples, B), in nats.
        """
        mean, scale_tril = self.split(params)
        noise = self.sampling.noise(mean, num_samples)  # (S, B, D)
        z = mean + ops.einsum("bij,sbj->sbi", scale_tril, noise)
        return z, self._log_prob_of_noise(params, noise)

    def get_config(self):
        config = super().get_config()
        return {**config, "latent_dim": self.latent_dim, "seed": self.seed}
