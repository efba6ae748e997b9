"""Posteriors q(z|x): how an encoder's output becomes a distribution over z.

`Posterior` is the contract; the table of names is in `keras_vae.distributions.table`.

S counts samples, B the images of a batch, D is `latent_dim`; densities are in nats per
image, summed over the latent dimensions. Draws are differentiable in `params`.
"""

import abc
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae.distributions.normal import normal_log_prob
from keras_vae.distributions.sampling import Sampling, bound_log_var, reparameterize
from keras_vae.errors import whole_number


class Posterior(keras.layers.Layer, abc.ABC):
    """What every posterior is; it knows nothing of encoders, priors or models.

    A subclass sets `num_params` and has `split` and `sample_and_log_prob`; `mean`
    where it is not the first D of `params`; and, declared by the capabilities, the
    densities at any point, and what a Gaussian has.
    `keras_vae.testing.check_posterior` holds it to that.

    Args:
        latent_dim: int >= 1, the number of latents D.
        seed: int or None, for the noise.
        **kwargs: Passed to `keras.layers.Layer`.

    Attributes:
        num_params: int P, the width of the encoder's output.
        has_log_prob: Whether `log_prob` is known at any point.
        factorizes: Whether the latents are independent given x, and
            `log_prob_per_dimension` known.
        is_gaussian: Whether q(z|x) is a Gaussian around `mean`, and `log_var` and
            `log_prob_of_mean` known.

    Raises:
        UsageError: If `latent_dim` is not a positive integer.

    Example:
        >>> class Unit(Posterior):  # variance 1 at every latent
        ...     def __init__(self, latent_dim, seed=None, **kwargs):
        ...         super().__init__(latent_dim, seed, **kwargs)
        ...         self.num_params = self.latent_dim
        ...     def split(self, params):
        ...         return params, ops.zeros_like(params)
        ...     def sample_and_log_prob(self, params, num_samples=1):
        ...         noise = self.sampling.noise(params, num_samples)
        ...         log_q = ops.sum(normal_log_prob(noise), axis=-1)
        ...         return params + noise, log_q
    """

    num_params: int
    has_log_prob = False
    factorizes = False
    is_gaussian = False

    def __init__(self, latent_dim: int, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = whole_number("latent_dim", latent_dim)
        self.seed = seed
        self.sampling = Sampling(seed)

    @abc.abstractmethod
    def split(self, params) -> tuple:
        """Splits the encoder's output (..., P) into the distribution's parameters."""

    @abc.abstractmethod
    def sample_and_log_prob(self, params, num_samples: int = 1) -> tuple[Any, Any]:
        """Draws z and gives its log density.

        Args:
            params: float (B, P).
            num_samples: int >= 1, draws for each row.

        Returns:
            z, float (num_samples, B, latent_dim), and log q(z|x), float
            (num_samples, B), in nats.
        """

    def mean(self, params):
        """Where an image is encoded, float (..., latent_dim): the posterior's mean."""
        return params[..., : self.latent_dim]

    def log_var(self, params) -> Any:
        """Of a Gaussian: the natural log of each latent's variance, float (..., D)."""
        raise NotImplementedError(f"{type(self).__name__} is not Gaussian.")

    def log_prob_of_mean(self, params) -> Any:
        """Of a Gaussian: the log density of its mean, float (...,), in nats."""
        raise NotImplementedError(f"{type(self).__name__} is not Gaussian.")

    def log_prob(self, params, z) -> Any:
        """The log density of z (S, B, D) under params (B, P), float (S, B), in nats."""
        raise NotImplementedError(f"{type(self).__name__} declares no log_prob.")

    def log_prob_per_dimension(self, params, z) -> Any:
        """The log density of each latent, float (..., latent_dim), in nats."""
        raise NotImplementedError(f"{type(self).__name__} does not factorize.")

    def get_config(self):
        config = super().get_config()
        return {**config, "latent_dim": self.latent_dim, "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_vae")
class DiagonalGaussian(Posterior):
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

    has_log_prob = True
    factorizes = True
    is_gaussian = True

    def __init__(self, latent_dim: int, seed: int | None = None, **kwargs):
        super().__init__(latent_dim, seed, **kwargs)
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

    def log_var(self, params):
        return self.split(params)[1]

    def log_prob_of_mean(self, params):
        return ops.sum(normal_log_prob(0.0, self.log_var(params)), axis=-1)

    def log_prob_per_dimension(self, params, z):
        mean, log_var = self.split(params)
        return normal_log_prob((z - mean) * ops.exp(-0.5 * log_var), log_var)

    def log_prob(self, params, z):
        return ops.sum(self.log_prob_per_dimension(params, z), axis=-1)

    def sample_and_log_prob(self, params, num_samples: int = 1):
        mean, log_var = self.split(params)
        noise = self.sampling.noise(mean, num_samples)  # (S, B, D)
        z = reparameterize(mean, log_var, noise)
        return z, ops.sum(normal_log_prob(noise, log_var), axis=-1)


@keras.saving.register_keras_serializable(package="keras_vae")
class FullGaussian(Posterior):
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

    has_log_prob = True
    is_gaussian = True

    def __init__(self, latent_dim: int, seed: int | None = None, **kwargs):
        super().__init__(latent_dim, seed, **kwargs)
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
        diagonal = ops.exp(0.5 * log_var)[..., None] * np.eye(
            self.latent_dim, dtype="float32"
        )
        return mean, lower + diagonal

    def _parts(self, params):
        """Mean, log-variances and entries below the diagonal, each (B, ...)."""
        d = self.latent_dim
        log_var = bound_log_var(params[..., d : 2 * d])
        return params[..., :d], log_var, params[..., 2 * d :]

    def log_var(self, params):
        """The log of the covariance's diagonal, log (L L^T)_dd, (B, latent_dim)."""
        scale_tril = self.split(params)[1]
        return ops.log(ops.sum(ops.square(scale_tril), axis=-1))

    def log_prob_of_mean(self, params):
        return self._log_prob_of_noise(params, 0.0)

    def log_prob(self, params, z):
        mean, scale_tril = self.split(params)
        centered = ops.transpose(z - mean, (1, 2, 0))  # (B, D, S)
        noise = ops.linalg.solve_triangular(scale_tril, centered, lower=True)
        return self._log_prob_of_noise(params, ops.transpose(noise, (2, 0, 1)))

    def _log_prob_of_noise(self, params, noise):
        log_var = self._parts(params)[1]
        return ops.sum(normal_log_prob(noise, log_var), axis=-1)

    def sample_and_log_prob(self, params, num_samples: int = 1):
        mean, scale_tril = self.split(params)
        noise = self.sampling.noise(mean, num_samples)  # (S, B, D)
        z = mean + ops.einsum("bij,sbj->sbi", scale_tril, noise)
        return z, self._log_prob_of_noise(params, noise)
