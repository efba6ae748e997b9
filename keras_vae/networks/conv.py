"""Residual convolutional networks."""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from keras_vae.errors import whole_number
from keras_vae.networks.layers import (
    check_activation,
    conv2d,
    dense,
    seeds_of,
    upsampled,
    with_label,
    with_label_map,
)
from keras_vae.networks.shapes import check_shape, check_widths, default_widths, halved


def conv(
    image_shape: Sequence[int],
    latent_dim: int,
    *,
    posterior_params: int,
    likelihood_params: int,
    hidden: Sequence[int] | None = None,
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
    (Odena et al. 2016). Each width halves the resolution, rounded up where that is odd.

    Args:
        image_shape: (H, W, C).
        latent_dim: int >= 1, the width of z.
        posterior_params: int, the width of the encoder's output.
        likelihood_params: int, the decoder's outputs for each pixel and channel.
        hidden: Channels at each resolution, from the finest on; the decoder mirrors
            them. None: `shapes.default_widths`.
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
    height, width, channels = check_shape(image_shape)
    latent_dim = whole_number("latent_dim", latent_dim)
    hidden = default_widths(image_shape) if hidden is None else check_widths(hidden)
    sizes = halved(image_shape, hidden)
    activation = check_activation(activation)
    seeds = seeds_of(seed)

    x = keras.Input((height, width, channels), name="x")
    h = conv2d(hidden[0], seeds)(x)
    inputs, h = with_label_map(x, h, num_classes, seeds)
    for units in hidden:
        h = _residual(h, units, activation, seeds)
        h = conv2d(units, seeds, strides=2)(h)
    h = layers.Flatten()(_normalized(h, activation))
    params = dense(posterior_params, seeds, name="posterior_params")(h)
    encoder = keras.Model(inputs, params, name="encoder")

    z = keras.Input((latent_dim,), name="z")
    inputs, h = with_label(z, z, num_classes)
    coarse = (*sizes[-1], hidden[-1])
    h = layers.Reshape(coarse)(dense(int(np.prod(coarse)), seeds)(h))
    for units, size in zip(reversed(hidden), reversed(sizes[:-1]), strict=True):
        h = conv2d(units, seeds)(upsampled(h, size))
        h = _residual(h, units, activation, seeds)
    output = conv2d(channels * likelihood_params, seeds, name="likelihood_params")
    decoder = keras.Model(inputs, output(_normalized(h, activation)), name="decoder")
    if output_bias is not None:
        output.bias.assign(np.mean(output_bias, axis=(0, 1)))
    return encoder, decoder


def _residual(h, units, activation, seeds):
    """Two normalized 3x3 convolutions, added to what came in."""
    shortcut = h if h.shape[-1] == units else conv2d(units, seeds, kernel_size=1)(h)
    h = conv2d(units, seeds)(_normalized(h, activation))
    h = conv2d(units, seeds)(_normalized(h, activation))
    return layers.Add()([shortcut, h])


def _normalized(h, activation):
    """Group normalization, at most 8 channels wide, and the activation."""
    groups = h.shape[-1] // math.gcd(h.shape[-1], 8)
    return layers.Activation(activation)(layers.GroupNormalization(groups)(h))
