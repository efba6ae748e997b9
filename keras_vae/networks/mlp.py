"""Fully connected networks."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from keras_vae.errors import whole_number
from keras_vae.networks.layers import check_activation, dense, seeds_of, with_label
from keras_vae.networks.shapes import check_shape, check_widths


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
    height, width, channels = check_shape(image_shape)
    latent_dim = whole_number("latent_dim", latent_dim)
    hidden = check_widths(hidden)
    activation = check_activation(activation)
    outputs = (height, width, channels * likelihood_params)
    seeds = seeds_of(seed)

    x = keras.Input((height, width, channels), name="x")
    inputs, h = with_label(x, layers.Flatten()(x), num_classes)
    for units in hidden:
        h = hidden_layer(h, units, activation, gated, seeds)
    params = dense(posterior_params, seeds, name="posterior_params")(h)
    encoder = keras.Model(inputs, params, name="encoder")

    z = keras.Input((latent_dim,), name="z")
    inputs, h = with_label(z, z, num_classes)
    for units in reversed(hidden):
        h = hidden_layer(h, units, activation, gated, seeds)
    output = dense(int(np.prod(outputs)), seeds, name="likelihood_params")
    decoder = keras.Model(inputs, layers.Reshape(outputs)(output(h)), name="decoder")
    if output_bias is not None:
        output.bias.assign(np.reshape(output_bias, -1))
    return encoder, decoder


def hidden_layer(h, units, activation, gated, seeds):
    """One hidden layer of the mlp, or the product of two; see `mlp`."""
    if not gated:
        return dense(units, seeds, activation=activation)(h)
    value = dense(units, seeds)(h)
    return layers.Multiply()([value, dense(units, seeds, activation=activation)(h)])
