"""Priors p(z): where the latents of a generated image come from.

`Prior` is the contract; the table of names is in `keras_vae.distributions.table`.

`from_noise` is the one definition of a draw: every sampler, and the generator that is
exported, feeds it with its own noise. D is `latent_dim`, N the number of draws.
"""

import abc
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae.distributions.noise import standard_normal, standard_uniform
from keras_vae.distributions.normal import LOG_2PI, normal_log_prob
from keras_vae.distributions.sampling import bound_log_var, reparameterize
from keras_vae.errors import whole_number

MAX_COMPONENTS = 100_000  # of a mixture: each sample of z is compared with all


class Prior(keras.layers.Layer, abc.ABC):
    """What every prior is; it knows nothing of posteriors, networks or models.

    A subclass has `log_prob` and `from_noise`. `build` takes the shape of the images,
    `refresh` is for a prior that is made of posteriors, `start_at` for one that is
    fitted to latents.
    `keras_vae.testing.check_prior` holds it to that.

    Args:
        latent_dim: int >= 1, the number of latents D.
        **kwargs: Passed to `keras.layers.Layer`.

    Attributes:
        made_of_posteriors: Whether its components are diagonal Gaussian posteriors at
            images of its own, which `encode` gives.
        draws_in_training: Whether a draw has the weights of the moment, so that an
            objective may draw at every step.

    Raises:
        UsageError: If `latent_dim` is not a positive integer.

    Example:
        >>> class Wide(Prior):
        ...     def log_prob(self, z, encode=None):
        ...         return ops.sum(normal_log_prob(z / 2, math.log(4)), axis=-1)
        ...     def from_noise(self, normal, uniform):
        ...         return 2 * normal
    """

    made_of_posteriors = False
    draws_in_training = True

    def __init__(self, latent_dim: int, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = whole_number("latent_dim", latent_dim)

    @abc.abstractmethod
    def log_prob(self, z, encode=None) -> Any:
        """The log density of z.

        Args:
            z: float (..., latent_dim).
            encode: From images (K, H, W, C) to the posterior's mean and log-variance
                there, each (K, latent_dim); None for what `refresh` has stored. Only a
                prior made of posteriors looks at it.

        Returns:
            float (...), in nats.
        """

    @abc.abstractmethod
    def from_noise(self, normal, uniform) -> Any:
        """Turns noise into draws, without a random operation.

        Args:
            normal: float (N, latent_dim), standard normal.
            uniform: float (N,), in [0, 1), to choose a component with.

        Returns:
            z, float (N, latent_dim).
        """

    def refresh(self, encode):
        """Brings `from_noise` up to date with the encoder; see `log_prob`."""

    def start_at(self, z, generator: np.random.Generator):
        """Puts fresh weights where latents are, before the prior is fitted to them.

        Args:
            z: float32 (N, latent_dim), a NumPy array.
            generator: Of what is chosen at random.
        """

    def sample(self, num_samples: int, seed=None):
        """Draws z.

        Args:
            num_samples: int N >= 1.
            seed: int, None or a `keras.random.SeedGenerator`.

        Returns:
            float (N, latent_dim).
        """
        if not isinstance(seed, keras.random.SeedGenerator):
            seed = keras.random.SeedGenerator(seed)
        normal = standard_normal((num_samples, self.latent_dim), seed, stream=1)
        uniform = standard_uniform((num_samples,), seed, stream=1)
        return self.from_noise(normal, uniform)

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim}


@keras.saving.register_keras_serializable(package="keras_vae")
class StandardNormal(Prior):
    """The standard normal prior: p(z) = N(0, I), without parameters.

    Kingma & Welling (2014), section 3.

    Args:
        latent_dim: int >= 1, the number of latents D.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If `latent_dim` is not a positive integer.

    Example:
        >>> round(float(StandardNormal(latent_dim=2).log_prob(ops.zeros((2,)))), 4)
        -1.8379
    """

    def log_prob(self, z, encode=None):
        return ops.sum(normal_log_prob(z), axis=-1)

    def from_noise(self, normal, uniform):
        return normal


@keras.saving.register_keras_serializable(package="keras_vae")
class GaussianMixture(Prior):
    """A mixture of diagonal Gaussians whose weights, means and variances are learned.

    p(z) = sum_k weight_k N(mean_k, exp(log_var_k)), weight = softmax(logits). It starts
    with equal weights, unit variances and means drawn from the standard normal.

    Args:
        latent_dim: int >= 1, the number of latents D.
        num_components: int from 1 to 100,000, Gaussians K in the mixture.
        seed: int or None, for the initial means.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If a number is not a positive integer.

    Example:
        >>> prior = GaussianMixture(latent_dim=20, num_components=64, seed=0)
        >>> tuple(prior.log_prob(ops.zeros((8, 20))).shape)
        (8,)
    """

    def __init__(
        self,
        latent_dim: int,
        num_components: int = 64,
        seed: int | None = 0,
        **kwargs,
    ):
        super().__init__(latent_dim, **kwargs)
        self.num_components = whole_number(
            "num_components", num_components, maximum=MAX_COMPONENTS
        )
        self.seed = seed
        shape = (self.num_components, self.latent_dim)
        start = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
        self.logits = self.add_weight((shape[0],), "zeros", name="logits")
        self.mean = self.add_weight(shape, start, name="mean")
        self.log_var = self.add_weight(shape, "zeros", name="log_var")
        self.built = True

    def start_at(self, z, generator):
        """Puts the means at some of z, with the variances of all."""
        rows = generator.choice(
            len(z), self.num_components, len(z) < self.num_components
        )
        self.mean.assign(z[rows])
        self.log_var.assign(np.tile(np.log(z.var(axis=0) + 1e-6), (len(rows), 1)))

    def log_prob(self, z, encode=None):
        log_weight = ops.log_softmax(self.logits)
        return _mixture_log_prob(z, log_weight, self.mean, self.log_var)

    def from_noise(self, normal, uniform):
        weight = ops.softmax(self.logits)
        return _mixture_draw(normal, uniform, weight, self.mean, self.log_var)

    def get_config(self):
        return {
            **super().get_config(),
            "num_components": self.num_components,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="keras_vae")
class VampPrior(Prior):
    """The variational mixture of posteriors: p(z) = 1/K sum_k q(z|u_k).

    Tomczak & Welling (2018), eq. 9: the optimal prior is the mean of the posteriors
    over the training data; here, over K pseudo-inputs u_k that are learned. The prior
    owns the pseudo-inputs, not the encoder: `encode` gives the posterior's means and
    log-variances there, so that gradients reach both. `refresh` stores them for
    `from_noise`, which needs no encoder.

    Args:
        latent_dim: int >= 1, the number of latents D.
        num_components: int from 1 to 100,000, pseudo-inputs K.
        seed: int or None, for the initial pseudo-inputs.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If a number is not a positive integer.

    Example:
        >>> prior = VampPrior(latent_dim=20, num_components=500, seed=0)
        >>> prior.build((28, 28, 1))
        >>> encode = lambda images: posterior.split(encoder(images))
        >>> log_prob = prior.log_prob(z, encode)
        >>> prior.refresh(encode)
        >>> z = prior.sample(64, seed=7)
    """

    made_of_posteriors = True
    draws_in_training = False

    def __init__(
        self,
        latent_dim: int,
        num_components: int = 500,
        seed: int | None = 0,
        **kwargs,
    ):
        super().__init__(latent_dim, **kwargs)
        self.num_components = whole_number(
            "num_components", num_components, maximum=MAX_COMPONENTS
        )
        self.seed = seed

    def build(self, input_shape):
        images = (self.num_components, *input_shape)
        latents = (self.num_components, self.latent_dim)
        start = keras.initializers.RandomNormal(mean=-2.0, stddev=1.0, seed=self.seed)
        self.logits = self.add_weight(images, start, name="pseudo_input_logits")
        self.mean = self.add_weight(latents, "zeros", trainable=False, name="mean")
        self.log_var = self.add_weight(
            latents, "zeros", trainable=False, name="log_var"
        )
        self.built = True

    def pseudo_inputs(self):
        """The learned images u_k, float (K, H, W, C) in [0, 1]."""
        return ops.sigmoid(self.logits)

    def refresh(self, encode):
        mean, log_var = encode(self.pseudo_inputs())
        self.mean.assign(mean)
        self.log_var.assign(log_var)

    def log_prob(self, z, encode=None):
        mean, log_var = self.mean, self.log_var
        if encode is not None:
            mean, log_var = encode(self.pseudo_inputs())
        return _mixture_log_prob(z, -math.log(self.num_components), mean, log_var)

    def from_noise(self, normal, uniform):
        weight = np.full(self.num_components, 1.0 / self.num_components, np.float32)
        return _mixture_draw(normal, uniform, weight, self.mean, self.log_var)

    def get_config(self):
        return {
            **super().get_config(),
            "num_components": self.num_components,
            "seed": self.seed,
        }


def _mixture_log_prob(z, log_weight, mean, log_var):
    """Log density of z (..., D) under K diagonal Gaussians (K, D); float (...,)."""
    log_var = bound_log_var(ops.convert_to_tensor(log_var))
    noise = (z[..., None, :] - mean) * ops.exp(-0.5 * log_var)  # (..., K, D)
    square = ops.sum(ops.square(noise), axis=-1)
    log_scale = ops.sum(LOG_2PI + log_var, axis=-1)  # (K,)
    return ops.logsumexp(log_weight - 0.5 * (log_scale + square), axis=-1)


def _mixture_draw(normal, uniform, weight, mean, log_var):
    """Picks a component by the uniform noise (N,), scales the normal noise (N, D)."""
    upper = ops.cumsum(ops.convert_to_tensor(weight))[:-1]  # (K - 1,)
    above = ops.cast(uniform[:, None] >= upper, "int32")
    component = ops.sum(above, axis=-1)  # (N,), 0 to K - 1
    log_var = bound_log_var(ops.take(log_var, component, axis=0))
    return reparameterize(ops.take(mean, component, axis=0), log_var, normal)
