"""What networks are made of: layers with initial weights from seeds of their own."""

from collections.abc import Iterator

import keras
import numpy as np
from keras import layers, ops
from keras.initializers import GlorotUniform

from keras_vae.errors import unknown


def seeds_of(seed: int | tuple[int, ...]) -> Iterator[int]:
    """An endless stream of layer seeds, a pure function of `seed`."""
    generator = np.random.default_rng(seed)
    while True:
        yield int(generator.integers(2**31))


def dense(units, seeds, initializer=GlorotUniform, **kwargs):
    """A matrix product whose initial weights are a function of the next seed."""
    initializer = initializer(seed=next(seeds))
    return layers.Dense(units, kernel_initializer=initializer, **kwargs)


def conv2d(units, seeds, kernel_size=3, initializer=GlorotUniform, **kwargs):
    """The same of a convolution that keeps the size, or halves it with `strides=2`."""
    initializer = initializer(seed=next(seeds))
    return layers.Conv2D(
        units, kernel_size, padding="same", kernel_initializer=initializer, **kwargs
    )


def upsampled(h, size):
    """Every pixel as 2x2 equal ones; where `size` is odd, the means of neighbors.

    LiteRT 2.3 needs the shape said, and gives other images when a slice (or, in place
    of the copies, a concatenation) is run at a second batch size.
    """
    _, rows, columns, channels = h.shape
    h = layers.UpSampling2D(2)(h)
    h = layers.Reshape((2 * rows, 2 * columns, channels))(h)
    pool = (1 + 2 * rows - size[0], 1 + 2 * columns - size[1])
    return h if pool == (1, 1) else layers.AveragePooling2D(pool, strides=1)(h)


def with_label_map(x, features, num_classes, seeds):
    """As `with_label` for features (B, H, W, F): the label shifts them everywhere."""
    if num_classes is None:
        return x, features
    label = keras.Input((), dtype="int64", name="label")
    one_hot = ops.one_hot(label, int(num_classes), dtype=features.dtype)
    channels = features.shape[-1]
    shift = layers.Reshape((1, 1, channels))(dense(channels, seeds)(one_hot))
    return [x, label], features + shift


def with_label(tensor, features, num_classes):
    """The model's inputs and its first features (B, F), with a one-hot label or not."""
    if num_classes is None:
        return tensor, features
    label = keras.Input((), dtype="int64", name="label")
    one_hot = ops.one_hot(label, int(num_classes), dtype=features.dtype)
    return [tensor, label], layers.Concatenate()([features, one_hot])


def check_activation(name):
    """The function of that name in `ACTIVATIONS`."""
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def ends_in_sigmoid(network: keras.Model) -> bool:
    """Whether the last layer that computes something is a sigmoid.

    Args:
        network: A decoder; layers that only reshape do not count.
    """
    for layer in reversed(network.layers):
        if isinstance(layer, keras.Model):
            return ends_in_sigmoid(layer)
        if not isinstance(layer, layers.Reshape | layers.Flatten | layers.InputLayer):
            return getattr(layer, "activation", None) is keras.activations.sigmoid
    return False


# those that every exported format can express
ACTIVATIONS = {
    "relu": keras.activations.relu,
    "elu": keras.activations.elu,
    "gelu": keras.activations.gelu,
    "leaky_relu": keras.activations.leaky_relu,
    "mish": keras.activations.mish,
    "selu": keras.activations.selu,
    "sigmoid": keras.activations.sigmoid,
    "silu": keras.activations.silu,
    "softplus": keras.activations.softplus,
    "tanh": keras.activations.tanh,
}
