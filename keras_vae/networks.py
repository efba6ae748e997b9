"""Networks: builders of an encoder and a decoder for a given image shape.

Every builder has the same signature,

    build(image_shape, latent_dim, *, posterior_params, likelihood_params, hidden,
          activation, num_classes=None, output_bias=None, seed=0) -> (encoder, decoder)

with its own defaults for `hidden` and `activation`, and returns two Functional models,
which save, load and export as they are:

    encoder: x float32 (B, H, W, C) in [0, 1]  -> posterior parameters (B, P)
    decoder: z float32 (B, D)                  -> likelihood parameters (B, H, W, C * K)

With `num_classes` both take a second input, `label` int64 (B,), and are called with
[x, label] and [z, label]. P is `posterior_params` (one tensor: all heads are one matrix
product), K is `likelihood_params`. Every layer draws its initial weights from a seed of
its own, a function of `seed`.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import keras
import numpy as np
from keras import layers, ops

from keras_vae.errors import UsageError, unknown, whole_number


def mlp(
    image_shape: Sequence[int],
    latent_dim: int,
    *,
    posterior_params: int,
    likelihood_params: int,
    hidden: Sequence[int] = (400,),
    activation: str = "relu",
    gated: bool = False,
    num_classes: int | None = None,
    output_bias=None,
    seed: int = 0,
) -> tuple[keras.Model, keras.Model]:
    """Fully connected networks: the classic 784-400-20-400-784 and its deeper kin.

    Args:
        image_shape: (H, W, C).
        latent_dim: int >= 1, the width of z.
        posterior_params: int, the width of the encoder's output.
        likelihood_params: int, the decoder's outputs for each pixel and channel.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them. Empty
            for linear networks.
        activation: A name in `ACTIVATIONS`, of the hidden layers' function.
        gated: Whether each hidden layer is the product a * activation(b) of two linear
            ones; with `"sigmoid"` the gated networks of Dauphin et al. (2017) that
            Tomczak & Welling (2018) use, with others those of Shazeer (2020).
        num_classes: int or None. With an int, both networks also take a label.
        output_bias: float (H, W, C * likelihood_params) or None (zeros), the initial
            bias of the decoder's output; see `output_bias` of the likelihoods.
        seed: int, for the initial weights.

    Returns:
        The encoder and the decoder.

    Raises:
        UsageError: If a shape, a width or the activation is not usable.

    Example:
        >>> encoder, decoder = mlp(
        ...     (28, 28, 1), 20, posterior_params=40, likelihood_params=1
        ... )
        >>> encoder.count_params() + decoder.count_params()
        652824
    """
    height, width, channels = _check_shape(image_shape)
    latent_dim = whole_number("latent_dim", latent_dim)
    hidden = _check_widths(hidden)
    activation = _check_activation(activation)
    outputs = (height, width, channels * likelihood_params)
    seeds = _seeds(seed)

    x = keras.Input((height, width, channels), name="x")
    inputs, h = _with_label(x, layers.Flatten()(x), num_classes)
    for units in hidden:
        h = _hidden(h, units, activation, gated, seeds)
    params = _dense(posterior_params, seeds, name="posterior_params")(h)
    encoder = keras.Model(inputs, params, name="encoder")

    z = keras.Input((latent_dim,), name="z")
    inputs, h = _with_label(z, z, num_classes)
    for units in reversed(hidden):
        h = _hidden(h, units, activation, gated, seeds)
    output = _dense(int(np.prod(outputs)), seeds, name="likelihood_params")
    decoder = keras.Model(inputs, layers.Reshape(outputs)(output(h)), name="decoder")
    if output_bias is not None:
        output.bias.assign(np.reshape(output_bias, -1))
    return encoder, decoder


def conv(
    image_shape: Sequence[int],
    latent_dim: int,
    *,
    posterior_params: int,
    likelihood_params: int,
    hidden: Sequence[int] = (32, 64),
    activation: str = "silu",
    num_classes: int | None = None,
    output_bias=None,
    seed: int = 0,
) -> tuple[keras.Model, keras.Model]:
    """Residual convolutional networks, for larger and for color images.

    The encoder: a 3x3 convolution, then for each width a residual block (He et al.
    2016, pre-activation, with group normalization after Wu & He 2018) and a 3x3
    convolution of stride 2, and one matrix product. The decoder mirrors it, with
    nearest-neighbor upsampling before its convolutions, which leaves no checkerboard
    (Odena et al. 2016). Each width halves the resolution.

    Args:
        image_shape: (H, W, C); H and W divisible by 2 ** len(hidden).
        latent_dim: int >= 1, the width of z.
        posterior_params: int, the width of the encoder's output.
        likelihood_params: int, the decoder's outputs for each pixel and channel.
        hidden: Channels at each resolution, from the finest on; the decoder mirrors
            them.
        activation: A name in `ACTIVATIONS`, of the hidden layers' function.
        num_classes: int or None. With an int, both networks also take a label.
        output_bias: float (H, W, C * likelihood_params) or None (zeros); its mean over
            the pixels is the initial bias of the decoder's output.
        seed: int, for the initial weights.

    Returns:
        The encoder and the decoder.

    Raises:
        UsageError: If a shape, a width or the activation is not usable.

    Example:
        >>> encoder, decoder = conv(
        ...     (32, 32, 3), 64, posterior_params=128, likelihood_params=20
        ... )
        >>> decoder.output_shape
        (None, 32, 32, 60)
    """
    height, width, channels = _check_shape(image_shape)
    latent_dim = whole_number("latent_dim", latent_dim)
    hidden = _check_widths(hidden)
    factor = 2 ** len(hidden)
    if not hidden or height % factor or width % factor:
        raise UsageError(
            f"The conv network halves the image {len(hidden)} times, once for each "
            f"width in hidden={hidden!r}; height and width must be divisible by "
            f"{factor}. Got {image_shape!r}."
        )
    activation = _check_activation(activation)
    seeds = _seeds(seed)

    x = keras.Input((height, width, channels), name="x")
    inputs, h = x, _conv(hidden[0], seeds)(x)
    if num_classes is not None:  # the label shifts the first channels everywhere
        label = keras.Input((), dtype="int64", name="label")
        inputs, shift = [x, label], ops.one_hot(label, num_classes, dtype=h.dtype)
        h = h + layers.Reshape((1, 1, hidden[0]))(_dense(hidden[0], seeds)(shift))
    for units in hidden:
        h = _residual(h, units, activation, seeds)
        h = _conv(units, seeds, strides=2)(h)
    h = layers.Flatten()(_normalized(h, activation))
    params = _dense(posterior_params, seeds, name="posterior_params")(h)
    encoder = keras.Model(inputs, params, name="encoder")

    z = keras.Input((latent_dim,), name="z")
    inputs, h = _with_label(z, z, num_classes)
    coarse = (height // factor, width // factor, hidden[-1])
    h = layers.Reshape(coarse)(_dense(int(np.prod(coarse)), seeds)(h))
    for units in reversed(hidden):
        h = _conv(units, seeds)(layers.UpSampling2D(2)(h))
        h = _residual(h, units, activation, seeds)
    output = _conv(channels * likelihood_params, seeds, name="likelihood_params")
    decoder = keras.Model(inputs, output(_normalized(h, activation)), name="decoder")
    if output_bias is not None:
        output.bias.assign(np.mean(output_bias, axis=(0, 1)))
    return encoder, decoder


def ends_in_sigmoid(network: keras.Model) -> bool:
    """Whether the last layer that computes something is a sigmoid.

    Args:
        network: A decoder; layers that only reshape do not count.
    """
    for layer in reversed(network.layers):
        if isinstance(layer, keras.Model):
            return ends_in_sigmoid(layer)
        if not isinstance(layer, layers.Reshape | layers.Flatten | layers.InputLayer):
            return layer.get_config().get("activation") == "sigmoid"
    return False


def _hidden(h, units, activation, gated, seeds):
    """One hidden layer of the mlp."""
    if not gated:
        return _dense(units, seeds, activation=activation)(h)
    value = _dense(units, seeds)(h)
    return layers.Multiply()([value, _dense(units, seeds, activation=activation)(h)])


def _residual(h, units, activation, seeds):
    """Two normalized 3x3 convolutions, added to what came in."""
    shortcut = h if h.shape[-1] == units else _conv(units, seeds, kernel_size=1)(h)
    h = _conv(units, seeds)(_normalized(h, activation))
    h = _conv(units, seeds)(_normalized(h, activation))
    return layers.Add()([shortcut, h])


def _normalized(h, activation):
    """Group normalization, at most 8 channels wide, and the activation."""
    groups = h.shape[-1] // math.gcd(h.shape[-1], 8)
    return layers.Activation(activation)(layers.GroupNormalization(groups)(h))


def _conv(units, seeds, kernel_size=3, **kwargs):
    initializer = keras.initializers.GlorotUniform(seed=next(seeds))
    return layers.Conv2D(
        units, kernel_size, padding="same", kernel_initializer=initializer, **kwargs
    )


def _seeds(seed: int) -> Iterator[int]:
    """An endless stream of layer seeds, a pure function of `seed`."""
    generator = np.random.default_rng(seed)
    while True:
        yield int(generator.integers(2**31))


def _dense(units, seeds, **kwargs):
    initializer = keras.initializers.GlorotUniform(seed=next(seeds))
    return layers.Dense(units, kernel_initializer=initializer, **kwargs)


def _with_label(tensor, features, num_classes):
    """The model's inputs and its first features (B, F), with a one-hot label or not."""
    if num_classes is None:
        return tensor, features
    label = keras.Input((), dtype="int64", name="label")
    one_hot = ops.one_hot(label, num_classes, dtype=features.dtype)
    return [tensor, label], layers.Concatenate()([features, one_hot])


def _check_shape(image_shape):
    if len(image_shape) != 3:
        raise UsageError(
            f"image_shape must be (height, width, channels). Got {image_shape!r}."
        )
    return tuple(whole_number("each size in image_shape", s) for s in image_shape)


def _check_widths(hidden):
    return tuple(whole_number("each width in hidden", width) for width in hidden)


def _check_activation(name):
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


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

NETWORKS = {
    "mlp": mlp,
    "gated_mlp": partial(mlp, gated=True),
    "conv": conv,
}
