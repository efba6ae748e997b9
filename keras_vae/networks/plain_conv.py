"""Convolutional networks of the plainest operators."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers
from keras.initializers import HeNormal

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


def plain_conv(
    image_shape: Sequence[int],
    latent_dim: int,
    *,
    posterior_params: int,
    likelihood_params: int,
    hidden: Sequence[int] | None = None,
    activation: str = "relu",
    num_classes: int | None = None,
    output_bias=None,
    seed: int = 0,
) -> tuple[keras.Model, keras.Model]:
    """Convolutions, ReLU and upsampling alone, alike in every runtime and fast there.

    The encoder: for each width a 3x3 convolution of stride 2, and one matrix product.
    The decoder mirrors it, with nearest-neighbor upsampling before its convolutions,
    and one more convolution at the end. No layer normalizes: the initial weights of He
    et al. (2015), section 2.2, keep the scale of what passes, however many the layers.

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
        >>> encoder, decoder = plain_conv(
        ...     (50, 70, 3), 64, posterior_params=128, likelihood_params=1
        ... )
        >>> decoder.output_shape
        (None, 50, 70, 3)
    """
    height, width, channels = check_shape(image_shape)
    latent_dim = whole_number("latent_dim", latent_dim)
    hidden = default_widths(image_shape) if hidden is None else check_widths(hidden)
    sizes = halved(image_shape, hidden)
    seeds = seeds_of(seed)
    made = {"initializer": HeNormal, "activation": check_activation(activation)}

    x = keras.Input((height, width, channels), name="x")
    h = conv2d(hidden[0], seeds, strides=2, **made)(x)
    inputs, h = with_label_map(x, h, num_classes, seeds)
    for units in hidden[1:]:
        h = conv2d(units, seeds, strides=2, **made)(h)
    params = dense(posterior_params, seeds, name="posterior_params")
    encoder = keras.Model(inputs, params(layers.Flatten()(h)), name="encoder")

    z = keras.Input((latent_dim,), name="z")
    inputs, h = with_label(z, z, num_classes)
    coarse = (*sizes[-1], hidden[-1])
    h = layers.Reshape(coarse)(dense(int(np.prod(coarse)), seeds, **made)(h))
    for units, size in zip(reversed(hidden), reversed(sizes[:-1]), strict=True):
        h = conv2d(units, seeds, **made)(upsampled(h, size))
    output = conv2d(channels * likelihood_params, seeds, name="likelihood_params")
    decoder = keras.Model(inputs, output(h), name="decoder")
    if output_bias is not None:
        output.bias.assign(np.mean(output_bias, axis=(0, 1)))
    return encoder, decoder
