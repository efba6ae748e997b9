"""Decoders of several levels: from the top one down to the image.

Each level's z is drawn given all above it. In the decoder that is a deterministic step:
its input is the noise of every level, side by side, and

    z_l = mean_l(state) + scale_l(state) * noise_l,    state = merge_l(state, z_l),

so that p(z_l | z_above) = N(mean_l, scale_l^2) where the noise is standard normal. The
last merge gives the likelihood's parameters.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import keras
from keras import layers, ops

from keras_vae.errors import UsageError
from keras_vae.networks.layers import dense

MOST = 5.0  # of the absolute log of a scale


class LevelNetworks(NamedTuple):
    """What a builder of networks of L levels returns.

    Args:
        encoder: x (B, H, W, C) -> (B, P): mean and log-variance of the top level, then
            the features of each level below it, flat, from the top on.
        decoder: z (B, D) -> likelihood parameters; made by `TopDown`.
        posteriors: For each level below the top [state, features] -> [mean, log_var],
            of its noise.
    """

    encoder: keras.Model
    decoder: keras.Model
    posteriors: list[keras.Model]


class TopDown:
    """The networks of a decoder of L levels, to be run level by level.

    Args:
        merges: L models: the first takes the top level's z, of a conditional decoder
            [z, label], and gives the state; each further one [state, z]. The last gives
            the likelihood's parameters.
        priors: L - 1 models: state -> [mean, scale], each as wide as the level's z.

    Example:
        >>> encoder, decoder, _ = levels(
        ...     mlp, (28, 28, 1), (40, 40), likelihood_params=1, activation="relu",
        ...     hidden=(300,)
        ... )
        >>> logits = TopDown.of(decoder).run(lambda level, state: ops.zeros((8, 40)))
        >>> tuple(logits.shape)
        (8, 28, 28, 1)
    """

    def __init__(self, merges: Sequence[keras.Model], priors: Sequence[keras.Model]):
        self.merges, self.priors = merges, priors

    @property
    def widths(self) -> list[int]:
        """Of the levels, from the top on."""
        top = self.merges[0].inputs[0].shape[1]
        return [top, *(prior.outputs[0].shape[1] for prior in self.priors)]

    @classmethod
    def of(cls, decoder: keras.Model) -> "TopDown":
        """The networks in a decoder that `as_decoder` made, or its copy.

        Raises:
            UsageError: If it was made in another way.
        """
        found = {layer.name: layer for layer in decoder.layers}
        merges = _numbered(found, "merge_", 0)
        priors = _numbered(found, "prior_", 1)
        if len(merges) < 2 or len(priors) != len(merges) - 1:
            raise UsageError(
                f"Latents of several levels need a decoder made by TopDown.as_decoder; "
                f"{decoder.name} has {len(merges)} merges and {len(priors)} priors."
            )
        return cls(merges, priors)

    def run(
        self,
        draw: Callable[[int, Any], Any],
        inputs: Callable[[Any], Any] = lambda z: z,
        training: bool = False,
    ) -> Any:
        """From the noise of each level to the likelihood's parameters.

        Args:
            draw: From a level's number (0 is the top) and the state of all above it
                (None for the top) to its noise, float (B, D_l). What it gives for the
                top is z itself.
            inputs: From the top level's z to what the first merge takes.
            training: Passed to the networks.

        Returns:
            float (B, H, W, C * K).
        """
        first, *others = self.merges
        state = first(inputs(draw(0, None)), training=training)
        pairs = zip(self.priors, others, strict=True)
        for level, (prior, merge) in enumerate(pairs, start=1):
            mean, scale = prior(state, training=training)
            z = ops.add(mean, ops.multiply(scale, draw(level, state)))
            state = merge([state, z], training=training)
        return state

    def as_decoder(self) -> keras.Model:
        """The decoder: z (B, D), all levels side by side from the top on -> parameters.

        It is a Functional model of these networks, which it names.
        """
        for level, merge in enumerate(self.merges):
            merge.name = f"merge_{level}"
        for level, prior in enumerate(self.priors, start=1):
            prior.name = f"prior_{level}"
        _, *labels = self.merges[0].inputs
        *ends, latent_dim = accumulate(self.widths)
        z = keras.Input((latent_dim,), name="z")
        noise = ops.split(z, ends, axis=-1)
        labels = [keras.Input((), dtype="int64", name="label") for _ in labels]
        output = self.run(
            lambda level, state: noise[level],
            lambda top: [top, *labels] if labels else top,
        )
        return keras.Model([z, *labels] if labels else z, output, name="decoder")


def _numbered(found, prefix, first):
    """The layers called so, in order, from a number on."""
    numbers = range(first, first + len(found))
    names = [f"{prefix}{number}" for number in numbers]
    return [found[name] for name in names if name in found]


def scale_of(log_scale):
    """The scale of a level's prior, within exp(-5) and exp(5) but smoothly so.

    As Vahdat & Kautz (2020) bound it: exp(5 tanh(log_scale / 5)).

    Args:
        log_scale: float (...).
    """
    return ops.exp(MOST * ops.tanh(log_scale / MOST))


def flat_heads(h, width, seeds, scale: bool):
    """Mean and log-variance of a level (or its scale) as matrix products of features.

    Args:
        h: float (B, F), symbolic.
        width: int, of z.
        seeds: of the initial weights.
        scale: bool, whether the second is to be a scale.

    Returns:
        Two symbolic tensors (B, width).
    """
    mean = dense(width, seeds, name="mean")(h)
    spread = dense(width, seeds, name="log_scale" if scale else "log_var")(h)
    return [mean, scale_of(spread) if scale else spread]


def top_state(width, num_classes) -> keras.Model:
    """A first merge that passes the top level's z on, with its label where it has one.

    Args:
        width: int, of z.
        num_classes: int or None.
    """
    z = keras.Input((width,))
    if num_classes is None:
        return keras.Model(z, layers.Identity()(z))
    label = keras.Input((), dtype="int64")
    one_hot = ops.one_hot(label, int(num_classes), dtype=z.dtype)
    return keras.Model([z, label], layers.Concatenate()([z, one_hot]))
