"""Convolutional networks of any number of levels, the latents of each a map."""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers
from keras.initializers import HeNormal

from keras_vae.errors import UsageError, shown
from keras_vae.networks.layers import (
    check_activation,
    conv2d,
    seeds_of,
    upsampled,
    with_label_map,
)
from keras_vae.networks.shapes import (
    check_shape,
    check_widths,
    default_ladder,
    halved,
    halvings_of_levels,
    ladder_widths,
)
from keras_vae.networks.top_down import LevelNetworks, TopDown, scale_of


def ladder(
    image_shape: Sequence[int],
    latent_dim: Sequence[int] | None,
    *,
    likelihood_params: int,
    hidden: Sequence[int] | None = None,
    activation: str = "silu",
    num_levels: int = 4,
    latent_channels: int = 4,
    num_classes: int | None = None,
    output_bias=None,
    seed: int = 0,
) -> LevelNetworks:
    """Convolutional networks of several levels, which q and p run top-down together.

    After Sonderby et al. (2016) and Child (2021). The encoder: for each width a
    convolution of stride 2 and residual blocks, one for each level at that resolution,
    which hands its features over. The decoder goes back up: at each level the prior's
    parameters come from the state, the posterior's from state and features, z is added
    to the state, and a residual block follows, so that every level sees all above it.
    Residual blocks are two 3x3 convolutions of half the width, without normalization;
    their last weights start small (Child 2021, section 3).

    Args:
        image_shape: (H, W, C).
        latent_dim: Widths of the flat levels, which follow from the others:
            `shapes.ladder_widths`. None, or what follows.
        likelihood_params: int, the decoder's outputs for each pixel and channel.
        hidden: Channels at each resolution, from the finest on. None:
            `shapes.default_ladder`.
        activation: A name in `ACTIVATIONS`, of the hidden layers' function.
        num_levels: Levels of latents, two or more, spread over the maps of at most
            16x16 from the coarsest on.
        latent_channels: Latents at each place of a level's map.
        num_classes: int or None. With an int, encoder and decoder also take a label.
        output_bias: float (H, W, C * likelihood_params) or None (zeros); its mean over
            the pixels is the initial bias of the decoder's output.
        seed: int, for the initial weights.

    Returns:
        `LevelNetworks`.

    Raises:
        UsageError: If a shape, a width, a number or the activation is not usable.

    Example:
        >>> networks = ladder((32, 32, 3), None, likelihood_params=1, num_levels=3)
        >>> networks.decoder.input_shape  # 4x4, 8x8 and 16x16 places of 4 latents
        (None, 1344)
    """
    height, width, channels = check_shape(image_shape)
    hidden = default_ladder(image_shape) if hidden is None else check_widths(hidden)
    sizes = halved(image_shape, hidden)
    halvings = halvings_of_levels(image_shape, hidden, num_levels)
    widths = ladder_widths(image_shape, hidden, num_levels, latent_channels)
    if latent_dim is not None and tuple(latent_dim) != widths:
        raise UsageError(
            f"The latent_dim of this ladder is {shown(widths)}; got "
            f"{shown(tuple(latent_dim))}. Leave it out, and set num_levels or "
            "latent_channels."
        )
    made = _Layers(check_activation(activation), seeds_of(seed), 2 * num_levels)

    x = keras.Input((height, width, channels), name="x")
    h = made.conv(hidden[0], strides=2)(x)
    inputs, h = with_label_map(x, h, num_classes, made.seeds)
    features = []  # of each level, from the last one on
    for k in range(1, len(sizes)):
        if k > 1:
            h = made.conv(hidden[k - 1], strides=2)(made.active(h))
        for _ in range(max(1, halvings.count(k))):
            h = made.residual(h)
            features += [h] if k in halvings else []
    *below, top = features
    flat = [*made.heads(top, latent_channels), *map(layers.Flatten(), below[::-1])]
    encoder = keras.Model(inputs, layers.Concatenate()(flat), name="encoder")

    merges, priors, posteriors = [], [], []
    for level, k in enumerate(halvings):
        shape = (*sizes[k], hidden[k - 1])
        z = keras.Input((widths[level],))
        h = layers.Reshape((*sizes[k], latent_channels))(z)
        h = made.conv(shape[-1], kernel_size=1)(h)
        if level == 0:
            taken, h = with_label_map(z, h, num_classes, made.seeds)
        else:
            state, of_x = keras.Input(shape), keras.Input((math.prod(shape),))
            heads = made.heads(made.residual(state), latent_channels, scale=True)
            priors.append(keras.Model(state, heads))
            both = layers.Concatenate()([state, layers.Reshape(shape)(of_x)])
            both = made.residual(made.conv(shape[-1], kernel_size=1)(both))
            heads = made.heads(both, latent_channels)
            posteriors.append(keras.Model([state, of_x], heads))
            taken, h = [state, z], layers.Add()([state, h])
        h = made.residual(h)
        last = level == num_levels - 1
        for finer in range(k - 1, (0 if last else halvings[level + 1]) - 1, -1):
            h = upsampled(made.active(h), sizes[finer])
            h = made.residual(made.conv(hidden[max(finer - 1, 0)])(h))
        if last:
            output = conv2d(channels * likelihood_params, made.seeds)
            h = output(made.active(h))
            if output_bias is not None:
                output.bias.assign(np.mean(output_bias, axis=(0, 1)))
        merges.append(keras.Model(taken, h))
    return LevelNetworks(encoder, TopDown(merges, priors).as_decoder(), posteriors)


class _Layers:
    """The layers of one ladder, with its activation and its seeds.

    Args:
        activation: The function.
        seeds: Of the initial weights.
        depth: int, about as many residual blocks as are added up.
    """

    def __init__(self, activation, seeds, depth):
        self.activation, self.seeds, self.depth = activation, seeds, depth

    def active(self, h):
        return layers.Activation(self.activation)(h)

    def conv(self, units, **kwargs):
        return conv2d(units, self.seeds, **kwargs)

    def residual(self, h):
        """Two 3x3 convolutions of half the width, added to what came in."""
        units = h.shape[-1]
        inner = self.conv(max(1, units // 2), initializer=HeNormal)(self.active(h))
        outer = self.conv(units)
        change = outer(self.active(inner))
        outer.kernel.assign(outer.kernel / math.sqrt(self.depth))
        return layers.Add()([h, change])

    def heads(self, h, units, scale=False):
        """Mean and log-variance (or scale) of a map of latents, flat."""
        h = self.active(h)
        mean, spread = (
            layers.Flatten()(self.conv(units, kernel_size=1)(h)) for _ in range(2)
        )
        return [mean, scale_of(spread) if scale else spread]
