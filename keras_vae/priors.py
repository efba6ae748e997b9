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
from keras import ops

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


def _sample(prior, num_samples, seed):
    """Feeds `from_noise` with noise drawn from `seed`, an int or a SeedGenerator."""
    if not isinstance(seed, keras.random.SeedGenerator):
        seed = keras.random.SeedGenerator(seed)
    normal = keras.random.normal((num_samples, prior.latent_dim), seed=seed)
    uniform = keras.random.uniform((num_samples,), seed=seed)
    return prior.from_noise(normal, uniform)


PRIORS = {
    "standard_normal": StandardNormal,
}
