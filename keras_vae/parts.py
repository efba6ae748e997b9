"""The parts of a model: made from a name, a config or an instance, and checked."""

import warnings

import keras

from keras_vae.distributions.latents import OneLevel
from keras_vae.distributions.likelihoods import Likelihood
from keras_vae.distributions.posteriors import Posterior
from keras_vae.distributions.priors import Prior
from keras_vae.distributions.table import POSTERIORS, PRIORS
from keras_vae.errors import UsageError, unknown
from keras_vae.networks import ends_in_sigmoid


def component(value, table: dict, contract: type, **kwargs):
    """A component in the manner of Keras: a name, a config dict, or an instance.

    Args:
        value: A name in `table`, what `keras.saving.serialize_keras_object` gives, a
            dict with `class_name` and perhaps `config`, or a `contract`.
        table: From names to classes.
        contract: The class that instances must have, e.g. `Prior`.
        **kwargs: Arguments of the class, where a name is given.

    Returns:
        The component.

    Raises:
        UsageError: If it is none of these.

    Example:
        >>> component("standard_normal", PRIORS, Prior, latent_dim=20)
        >>> four = {"class_name": "ELBO", "config": {"beta": 4.0}}
        >>> component(four, OBJECTIVES, Objective)
    """
    kind = contract.__name__.lower()
    if isinstance(value, str):
        if value not in table:
            raise unknown(kind, value, table)
        return table[value](**kwargs)
    if isinstance(value, dict):
        scope = {member.__name__: member for member in table.values()}
        value = keras.saving.deserialize_keras_object(
            {"config": {}} | value, custom_objects=scope
        )
    if not isinstance(value, contract):
        raise UsageError(
            f"The {kind} must be a keras_vae.{contract.__name__}, a name or a config; "
            f"got {type(value).__name__}."
        )
    return value


def one_level(posterior, prior, latent_dim: int, seed: int) -> OneLevel:
    """Latents of one level, from what a user gave for posterior and prior."""
    return OneLevel(
        component(posterior, POSTERIORS, Posterior, latent_dim=latent_dim, seed=seed),
        component(prior, PRIORS, Prior, latent_dim=latent_dim),
    )


def input_shape(network: keras.Model, name: str, num_classes: int | None) -> tuple:
    """The shape, without the batch axis, of what a network takes beside the label.

    Args:
        network: The model.
        name: `"encoder"` or `"decoder"`.
        num_classes: int, where it takes a label too.

    Raises:
        UsageError: If it is not built, or takes something else.
    """
    if not network.built:
        raise UsageError(f"The {name} must be built; begin it with keras.Input(shape).")
    first, *others = _shapes(network.input_shape)
    expected = 1 if num_classes is None else 2
    if 1 + len(others) != expected:
        raise UsageError(
            f"The {name} must take {expected} input(s) for num_classes={num_classes}; "
            f"it takes {1 + len(others)}."
        )
    rank, what = _TAKEN[name]
    if len(first) != rank:
        raise UsageError(f"The {name} takes {first} and must take {what}.")
    return tuple(first[1:])


_TAKEN = {  # rank, and what it is
    "encoder": (4, "x (B, H, W, C); begin it with keras.Input((H, W, C))"),
    "decoder": (
        2,
        "a flat z (B, latent_dim); begin it with keras.Input((latent_dim,)) and "
        "keras.layers.Reshape to what it needs",
    ),
}


def check_encoder(encoder: keras.Model, num_params: int, latent_dim: int) -> None:
    """Refuses an encoder that does not give the posterior's parameters."""
    width = sum(shape[-1] for shape in _shapes(encoder.output_shape))
    if width != num_params:
        raise UsageError(
            f"The encoder must give {num_params} numbers an image for latent_dim="
            f"{latent_dim}; it gives {width}. Change its last layer or the decoder's "
            "input."
        )


def check_decoder(decoder: keras.Model, image_shape, likelihood: Likelihood) -> None:
    """Refuses a decoder that does not give the likelihood's parameters.

    A sigmoid at its end, where the likelihood takes logits, is warned of.
    """
    height, width, channels = image_shape
    expected = (height, width, channels * likelihood.num_params)
    if tuple(decoder.output_shape[1:]) != expected:
        raise UsageError(
            f"The decoder must give {expected} for images {image_shape}; it gives "
            f"{tuple(decoder.output_shape[1:])}. End it with "
            f"keras.layers.Reshape({expected})."
        )
    if likelihood.takes_logits and ends_in_sigmoid(decoder):
        warnings.warn(
            "The decoder ends in a sigmoid, but this likelihood takes logits and "
            "applies its own: give the decoder's last layer no activation.",
            stacklevel=3,
        )


def export_signature(encoder: keras.Model) -> list:
    """What `keras.Model.export` needs to know of the inputs x, or [x, label]."""
    names = ("x", "label")[: len(encoder.inputs)]
    signature = [
        keras.InputSpec(shape=tensor.shape, dtype=tensor.dtype, name=name)
        for tensor, name in zip(encoder.inputs, names, strict=True)
    ]
    return signature if len(signature) == 1 else [signature]


def _shapes(shape):
    return shape if isinstance(shape, list) else [shape]
