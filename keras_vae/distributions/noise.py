"""Seeded noise for training: Threefry, the same with XLA and without, on any device.

The noise of generated images, whose bits are the same in every runtime, is that of
`keras_vae.distributions.portable_noise`.
"""

import math

import numpy as np
import tensorflow as tf
from keras import ops

from keras_vae.replicas import elements, num_replicas

ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)  # of Threefry-2x32


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


def _uniform_pair(places, seed_generator, stream):
    """Two independent tensors of float32 uniform numbers, multiples of 2**-24."""
    key = tf.unstack(tf.cast(seed_generator.next(), tf.uint32))
    count = tf.cast(places, tf.uint32)
    return [
        tf.cast(tf.bitwise.right_shift(bits, np.uint32(8)), tf.float32) * 2.0**-24
        for bits in threefry(key, (count, tf.fill(tf.shape(count), np.uint32(stream))))
    ]


def standard_normal(
    shape, seed_generator, dtype="float32", stream: int = 0, axis: int | None = None
):
    """Draws standard normal noise.

    By the transform of Box & Muller (1958), of `threefry`: sqrt(-2 log u) cos(2 pi v),
    and the same with the sine.

    Args:
        shape: of the result.
        seed_generator: `keras.random.SeedGenerator`; it moves on by one.
        dtype: of the result.
        stream: of those that a seed has, independent of each other, so that the parts
            of a model can share its seed: 0 for posteriors, 1 priors, 2 pixels.
        axis: int, of the images of a batch: on several replicas the noise of an image
            is what it has in the batch of one. None for the same noise on all.

    Returns:
        float tensor.
    """
    places, number = elements(shape, axis)
    half = (number + 1) // 2
    alone = axis is None or num_replicas() == 1
    pairs = tf.range(half) if alone else tf.math.floormod(places, half)
    u, v = _uniform_pair(pairs, seed_generator, stream)
    radius, angle = ops.sqrt(-2.0 * ops.log(1.0 - u)), 2.0 * math.pi * v  # 1 - u > 0
    if not alone:
        wave = tf.where(places < half, ops.cos(angle), ops.sin(angle))
        return ops.cast(radius * wave, dtype)
    # XLA stores what is concatenated; else it would draw anew at each use, and a
    # mixture prior uses every z as often as it has components
    noise = tf.concat([radius * ops.cos(angle), radius * ops.sin(angle)], axis=0)
    return ops.cast(tf.reshape(noise[:number], shape), dtype)


def standard_uniform(shape, seed_generator, stream: int = 0, axis: int | None = None):
    """Draws uniform noise in [0, 1), float32; see `standard_normal`."""
    places, _ = elements(shape, axis)
    return _uniform_pair(places, seed_generator, stream)[0]
