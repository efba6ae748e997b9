"""Reparameterised sampling: z = mean + exp(log_var / 2) * noise.

`Sampling` is an ordinary Keras layer that works in anyone's model; the posteriors draw
their noise through it, so that its seed state is tracked and saved with the model.
"""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)  # of Threefry-2x32
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


def threefry(key, count):
    """The counter-based generator Threefry-2x32 with 20 rounds.

    Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3", section 3.2. Of
    elementwise operations alone: XLA fuses it into whatever uses the numbers (a twelfth
    of the time of `tf.random.stateless_uniform` on a CPU), and a seed gives the same
    numbers with XLA and without, on any device.

    Args:
        key: The pair of uint32 scalars that chooses the stream.
        count: The pair of uint32 (...), one point of the stream for each element.

    Returns:
        The pair of uint32 (...), uniform and independent.
    """
    keys = (*key, key[0] ^ key[1] ^ np.uint32(0x1BD11BDA))
    x, y = count[0] + keys[0], count[1] + keys[1]
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x = x + y
            left = tf.bitwise.left_shift(y, np.uint32(rotation))
            y = (left | tf.bitwise.right_shift(y, np.uint32(32 - rotation))) ^ x
        x = x + keys[(group + 1) % 3]
        y = y + (keys[(group + 2) % 3] + np.uint32(group + 1))
    return x, y


def _uniform_pair(shape, seed_generator, stream):
    """Two independent tensors of float32 uniform numbers, multiples of 2**-24."""
    key = tf.unstack(tf.cast(seed_generator.next(), tf.uint32))
    count = tf.cast(tf.reshape(tf.range(tf.reduce_prod(shape)), shape), tf.uint32)
    return [
        tf.cast(tf.bitwise.right_shift(bits, np.uint32(8)), tf.float32) * 2.0**-24
        for bits in threefry(key, (count, tf.fill(tf.shape(count), np.uint32(stream))))
    ]


def standard_normal(shape, seed_generator, dtype="float32", stream: int = 0):
    """Draws standard normal noise.

    By the transform of Box & Muller (1958), of `threefry`: sqrt(-2 log u) cos(2 pi v),
    and the same with the sine.

    Args:
        shape: of the result.
        seed_generator: `keras.random.SeedGenerator`; it moves on by one.
        dtype: of the result.
        stream: of those that a seed has, independent of each other, so that the parts
            of a model can share its seed: 0 for posteriors, 1 priors, 2 pixels.

    Returns:
        float tensor.
    """
    number = tf.reduce_prod(shape)
    u, v = _uniform_pair([(number + 1) // 2], seed_generator, stream)
    radius, angle = ops.sqrt(-2.0 * ops.log(1.0 - u)), 2.0 * math.pi * v  # 1 - u > 0
    # XLA stores what is concatenated; else it would draw anew at each use, and a
    # mixture prior uses every z as often as it has components
    noise = tf.concat([radius * ops.cos(angle), radius * ops.sin(angle)], axis=0)
    return ops.cast(tf.reshape(noise[:number], shape), dtype)


def standard_uniform(shape, seed_generator, stream: int = 0):
    """Draws uniform noise in [0, 1), float32; see `standard_normal`."""
    return _uniform_pair(shape, seed_generator, stream)[0]


@keras.saving.register_keras_serializable(package="keras_vae")
class Sampling(keras.layers.Layer):
    """Draws z from N(mean, exp(log_var)) by the reparameterisation trick.

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

    def noise(self, like, num_samples: int | None = None):
        """Draws standard normal noise.

        Args:
            like: float tensor whose shape the noise takes.
            num_samples: int or None; an int adds a leading axis of that length.

        Returns:
            float, of the shape of `like`, or (num_samples, ...).
        """
        shape = ops.shape(like)
        if num_samples is not None:
            shape = (num_samples, *shape)
        return standard_normal(shape, self.seed_generator, like.dtype)

    def call(self, inputs, num_samples: int | None = None):
        mean, log_var = inputs
        noise = self.noise(mean, num_samples)
        return reparameterize(mean, bound_log_var(log_var), noise)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
