"""Reparameterized sampling: z = mean + exp(log_var / 2) * noise.

`Sampling` is an ordinary Keras layer that works in anyone's model; the posteriors draw
their noise through it, so that its seed state is tracked and saved with the model.
"""

import keras
from keras import ops

from keras_vae.distributions.noise import standard_normal

LOG_VAR_MIN, LOG_VAR_MAX = -30.0, 20.0


def bound(value, low: float, high: float):
    """Clips a value, but lets the gradient pass as if it had not been clipped.

    A straight-through estimator: a parameter that left the range can come back, where
    `clip` alone would hold it outside with a gradient of zero. Values inside come back
    bit for bit.

    Args:
        value: float (...), finite.
        low: The smallest value returned.
        high: The largest value returned.

    Returns:
        float (...), in [low, high].
    """
    clipped = ops.clip(value, low, high)
    # value - value is exactly zero and carries the gradient
    return ops.stop_gradient(clipped) + (value - ops.stop_gradient(value))


def in_float32(output):
    """A network's output in float32, in which distributions are computed.

    What has become infinite in float16 comes as its largest number, 65504, and the
    gradient passes, so that it can come back.

    Args:
        output: float (...), of any float type.

    Returns:
        float32 (...).
    """
    if keras.backend.standardize_dtype(output.dtype) != "float16":
        return ops.cast(output, "float32")

    @ops.custom_gradient
    def finite(output):
        value = ops.clip(ops.cast(output, "float32"), -65504.0, 65504.0)
        return value, lambda upstream: ops.cast(upstream, "float16")

    return finite(output)


def bound_log_var(log_var):
    """Bounds a log-variance to [-30, 20], so that its exponential stays finite.

    `exp(89)` is infinite in float32, and one wild log-variance turns every weight into
    NaN. Values inside the bounds come back bit for bit. Outside, the gradient still
    passes (see `bound`), so that the KL term pulls the log-variance back.

    Args:
        log_var: float (...), natural log of a variance.

    Returns:
        float (...), in [-30, 20].

    Example:
        >>> bound_log_var(ops.convert_to_tensor([1.5, 1e4])).numpy().tolist()
        [1.5, 20.0]
    """
    return bound(log_var, LOG_VAR_MIN, LOG_VAR_MAX)


def reparameterize(mean, log_var, noise):
    """Turns standard normal noise into a draw from N(mean, exp(log_var)).

    Kingma & Welling (2014), section 2.4: the draw is differentiable in both parameters.

    Args:
        mean: float (..., latent_dim).
        log_var: float (..., latent_dim), natural log of the variance.
        noise: float, standard normal, of a shape that broadcasts against both.

    Returns:
        float, of the broadcast shape.

    Example:
        >>> float(reparameterize(1.0, 0.0, 0.5))
        1.5
    """
    return mean + ops.exp(0.5 * log_var) * noise


@keras.saving.register_keras_serializable(package="keras_vae")
class Sampling(keras.layers.Layer):
    """Draws z from N(mean, exp(log_var)) by the reparameterization trick.

    Log-variances are bounded to [-30, 20] (see `bound_log_var`). The layer draws in
    training and in inference alike; where a point is wanted, use the mean.

    Args:
        seed: int or None. The same seed draws the same sequence.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: The pair [mean, log_var], each float (B, latent_dim).
        num_samples: int or None. With an int, that many draws for each row.

    Returns:
        float (B, latent_dim), or (num_samples, B, latent_dim).

    Example:
        >>> z = Sampling(seed=0)([ops.zeros((4, 2)), ops.zeros((4, 2))])
        >>> tuple(z.shape)
        (4, 2)
    """

    def __init__(self, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def noise(self, like, num_samples: int | None = None):
        """Draws standard normal noise.

        Args:
            like: float tensor whose shape the noise takes.
            num_samples: int or None; an int adds a leading axis of that length.

        Returns:
            float, of the shape of `like`, or (num_samples, ...).
        """
        shape, axis = ops.shape(like), 0
        if num_samples is not None:
            shape, axis = (num_samples, *shape), 1
        return standard_normal(shape, self.seed_generator, like.dtype, axis=axis)

    def call(self, inputs, num_samples: int | None = None):
        mean, log_var = inputs
        noise = self.noise(mean, num_samples)
        return reparameterize(mean, bound_log_var(log_var), noise)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
