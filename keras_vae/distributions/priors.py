"""Priors p(z): where the latents of a generated image come from.

Every prior is a Keras layer with the same interface, and knows nothing of posteriors,
networks or models:

    log_prob(z)                 -> float (...,) for z (..., D), in nats
    from_noise(normal, uniform) -> z (N, D) from noise (N, D) and (N,); no random op
    sample(num_samples, seed)   -> z (N, D), `from_noise` of drawn noise

`from_noise` is the one definition of a draw: every sampler, and the generator that is
exported, feeds it with its own noise. D is `latent_dim`.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_vae.distributions.noise import standard_normal, standard_uniform
from keras_vae.distributions.sampling import bound_log_var, reparameterize
from keras_vae.errors import whole_number

LOG_2PI = math.log(2.0 * math.pi)


@keras.saving.register_keras_serializable(package="keras_vae")
class StandardNormal(keras.layers.Layer):
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

    def __init__(self, latent_dim: int, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = whole_number("latent_dim", latent_dim)

    def log_prob(self, z):
        """The log density of z, float (...,) for z (..., D), in nats."""
        return -0.5 * ops.sum(LOG_2PI + ops.square(z), axis=-1)

    def from_noise(self, normal, uniform):
        """Turns noise into a draw: here the normal noise itself.

        Args:
            normal: float (N, latent_dim), standard normal.
            uniform: float (N,), in [0, 1); not used by this prior.

        Returns:
            z, float (N, latent_dim).
        """
        return normal

    def sample(self, num_samples: int, seed=None):
        """Draws z, float (num_samples, latent_dim)."""
        return _sample(self, num_samples, seed)

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim}


@keras.saving.register_keras_serializable(package="keras_vae")
class GaussianMixture(keras.layers.Layer):
    """A mixture of diagonal Gaussians whose weights, means and variances are learned.

    p(z) = sum_k weight_k N(mean_k, exp(log_var_k)), weight = softmax(logits). It starts
    with equal weights, unit variances and means drawn from the standard normal.

    Args:
        latent_dim: int >= 1, the number of latents D.
        num_components: int >= 1, Gaussians K in the mixture.
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
        super().__init__(**kwargs)
        self.latent_dim = whole_number("latent_dim", latent_dim)
        self.num_components = whole_number("num_components", num_components)
        self.seed = seed
        shape = (self.num_components, self.latent_dim)
        start = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
        self.logits = self.add_weight((shape[0],), "zeros", name="logits")
        self.mean = self.add_weight(shape, start, name="mean")
        self.log_var = self.add_weight(shape, "zeros", name="log_var")
        self.built = True

    def log_prob(self, z):
        """The log density of z, float (...,) for z (..., D), in nats."""
        log_weight = ops.log_softmax(self.logits)
        return _mixture_log_prob(z, log_weight, self.mean, self.log_var)

    def from_noise(self, normal, uniform):
        """Turns noise into a draw: `uniform` picks the component.

        Args:
            normal: float (N, latent_dim), standard normal.
            uniform: float (N,), in [0, 1).

        Returns:
            z, float (N, latent_dim).
        """
        weight = ops.softmax(self.logits)
        return _mixture_draw(normal, uniform, weight, self.mean, self.log_var)

    def sample(self, num_samples: int, seed=None):
        """Draws z, float (num_samples, latent_dim)."""
        return _sample(self, num_samples, seed)

    def get_config(self):
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
            "num_components": self.num_components,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="keras_vae")
class VampPrior(keras.layers.Layer):
    """The variational mixture of posteriors: p(z) = 1/K sum_k q(z|u_k).

    Tomczak & Welling (2018), eq. 9: the optimal prior is the mean of the posteriors
    over the training data; here, over K pseudo-inputs u_k that are learned. The prior
    owns the pseudo-inputs, not the encoder: the model encodes `pseudo_inputs()` and
    hands the posterior's means and log-variances to `log_prob`, so that gradients reach
    both. `remember` stores them for `from_noise`, which needs no encoder.

    Args:
        latent_dim: int >= 1, the number of latents D.
        num_components: int >= 1, pseudo-inputs K.
        seed: int or None, for the initial pseudo-inputs.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If a number is not a positive integer.

    Example:
        >>> prior = VampPrior(latent_dim=20, num_components=500, seed=0)
        >>> prior.build((28, 28, 1))
        >>> components = posterior.split(encoder(prior.pseudo_inputs()))
        >>> log_prob = prior.log_prob(z, components)
        >>> prior.remember(components)
        >>> z = prior.sample(64, seed=7)
    """

    def __init__(
        self,
        latent_dim: int,
        num_components: int = 500,
        seed: int | None = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.latent_dim = whole_number("latent_dim", latent_dim)
        self.num_components = whole_number("num_components", num_components)
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

    def remember(self, components):
        """Stores the posterior's means and log-variances, each float (K, D)."""
        mean, log_var = components
        self.mean.assign(mean)
        self.log_var.assign(log_var)

    def log_prob(self, z, components=None):
        """The log density of z.

        Args:
            z: float (..., latent_dim).
            components: The posterior's mean and log-variance at the pseudo-inputs, each
                float (K, latent_dim); None for the remembered ones.

        Returns:
            float (...,), in nats.
        """
        mean, log_var = components or (self.mean, self.log_var)
        return _mixture_log_prob(z, -math.log(self.num_components), mean, log_var)

    def from_noise(self, normal, uniform):
        """Turns noise into a draw from the remembered components.

        Args:
            normal: float (N, latent_dim), standard normal.
            uniform: float (N,), in [0, 1); picks the component.

        Returns:
            z, float (N, latent_dim).
        """
        weight = np.full(self.num_components, 1.0 / self.num_components, np.float32)
        return _mixture_draw(normal, uniform, weight, self.mean, self.log_var)

    def sample(self, num_samples: int, seed=None):
        """Draws z, float (num_samples, latent_dim)."""
        return _sample(self, num_samples, seed)

    def get_config(self):
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
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


def _sample(prior, num_samples, seed):
    """Feeds `from_noise` with noise drawn from `seed`, an int or a SeedGenerator."""
    if not isinstance(seed, keras.random.SeedGenerator):
        seed = keras.random.SeedGenerator(seed)
    normal = standard_normal((num_samples, prior.latent_dim), seed, stream=1)
    uniform = standard_uniform((num_samples,), seed, stream=1)
    return prior.from_noise(normal, uniform)
