"""Two levels or more, each a vector, around networks of one."""

from collections.abc import Callable, Sequence

import keras
from keras import layers

from keras_vae.errors import UsageError, whole_number
from keras_vae.networks.layers import check_activation, seeds_of
from keras_vae.networks.mlp import hidden_layer
from keras_vae.networks.top_down import LevelNetworks, TopDown, flat_heads, top_state


def levels(
    build: Callable[..., tuple[keras.Model, keras.Model]],
    image_shape: Sequence[int],
    latent_dim: Sequence[int],
    *,
    likelihood_params: int,
    width: int | None = None,
    gated: bool = False,
    activation: str,
    num_classes: int | None = None,
    output_bias=None,
    seed: int = 0,
    **options,
) -> LevelNetworks:
    """Networks of several levels, of which the first and the last are given ones.

    With two levels and the gated mlp it is the model of Tomczak & Welling (2018),
    section 4: q(z_2|x) q(z_1|x, z_2) and p(z_2) p(z_1|z_2) p(x|z_1, z_2), but for one
    encoder instead of two. Between them stand hidden layers of one width: one for
    features of x, one for the state, one on both for each posterior, two for each
    prior.

    Args:
        build: A builder of networks of one level, as `mlp` or `conv`.
        image_shape: (H, W, C).
        latent_dim: Widths of z, two or more, from the top level on.
        likelihood_params: int, the decoder's outputs for each pixel and channel.
        width: int, of the hidden layers between; None is the last of `hidden`.
        gated: Whether those are products of two; see `mlp`.
        activation: A name in `ACTIVATIONS`, of all hidden layers' function.
        num_classes: int or None. With an int, encoder and decoder also take a label.
        output_bias: As for `build`.
        seed: int, for the initial weights.
        **options: Of `build`.

    Returns:
        `LevelNetworks`.

    Raises:
        UsageError: If there are fewer than two levels, or `build` refuses an option.

    Example:
        >>> networks = levels(
        ...     mlp, (28, 28, 1), (40, 20), likelihood_params=1, activation="relu",
        ...     hidden=(300,)
        ... )
        >>> networks.decoder.input_shape, networks.encoder.output_shape
        ((None, 60), (None, 380))
    """
    widths = [whole_number("each width in latent_dim", width) for width in latent_dim]
    if len(widths) < 2:
        raise UsageError(f"latent_dim must name two levels or more. Got {latent_dim}.")
    if width is None and not options.get("hidden"):
        raise UsageError("Levels take a width, or a last one of hidden; give either.")
    width = options["hidden"][-1] if width is None else width
    width = whole_number("width", width)
    seeds, function = seeds_of((seed, 1)), check_activation(activation)
    given = {"likelihood_params": likelihood_params, "output_bias": output_bias}
    given |= {"activation": activation, "seed": seed, **options}
    top, *below = widths
    encoder, _ = build(
        image_shape,
        top,
        posterior_params=2 * top + width * len(below),
        num_classes=num_classes,
        **given,
    )

    def hidden(h):
        return hidden_layer(h, width, function, gated, seeds)

    merges, priors, posteriors = [top_state(top, num_classes)], [], []
    for level, latents in enumerate(below):
        state = keras.Input(merges[-1].output_shape[1:])
        scaled = flat_heads(hidden(hidden(state)), latents, seeds, scale=True)
        priors.append(keras.Model(state, scaled))

        features = keras.Input((width,))
        h = hidden(layers.Concatenate()([hidden(state), features]))
        heads = flat_heads(h, latents, seeds, scale=False)
        posteriors.append(keras.Model([state, features], heads))

        z = keras.Input((latents,))
        h = layers.Concatenate()([state, z])
        if level < len(below) - 1:
            h = hidden(h)
        else:
            _, decoder = build(image_shape, h.shape[1], posterior_params=1, **given)
            h = decoder(h)
        merges.append(keras.Model([state, z], h))
    return LevelNetworks(encoder, TopDown(merges, priors).as_decoder(), posteriors)
