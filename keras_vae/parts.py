"""The parts of a model: made from a name, a config or an instance, and checked."""

import inspect
import warnings
from collections.abc import Callable

import keras

from keras_vae.distributions.latents import Latents, OneLevel
from keras_vae.distributions.levels import Levels
from keras_vae.distributions.likelihoods import Likelihood
from keras_vae.distributions.posteriors import Posterior
from keras_vae.distributions.priors import Prior
from keras_vae.distributions.table import LIKELIHOODS, POSTERIORS, PRIORS
from keras_vae.errors import UsageError, unknown
from keras_vae.networks.layers import ends_in_sigmoid
from keras_vae.networks.mlp import mlp
from keras_vae.networks.top_down import TopDown
from keras_vae.objectives.table import OBJECTIVES


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
        return table[choice(kind, value, table)](**kwargs)
    if isinstance(value, dict) and "class_name" in value:
        scope = {member.__name__: member for member in table.values()}
        name = value["class_name"].removeprefix("keras_vae>")
        value = {"config": {}} | value
        if name in scope:  # wherever the config says that it lives
            value = {"class_name": name, "config": value["config"]}
        try:
            value = keras.saving.deserialize_keras_object(value, custom_objects=scope)
        except TypeError as error:
            if name not in scope:
                raise unknown(kind, name, scope) from error
            reason = str(error).rpartition("Exception encountered: ")[2].strip(" .\n")
            raise UsageError(f"The {kind} cannot be {value}: {reason}.") from error
    if not isinstance(value, contract):
        raise UsageError(
            f"The {kind} must be a keras_vae.{contract.__name__}, a name or a config; "
            f"got {type(value).__name__}."
        )
    return value


def choice(kind: str, name: str, table: dict) -> str:
    """A name that is in a table; see `errors.unknown`."""
    if name not in table:
        raise unknown(kind, name, table)
    return name


def latents(given, posterior, prior, latent_dim: int, seed: int) -> Latents:
    """What a user gave as latents, or for posterior and prior of one level."""
    if given is not None:
        if (posterior, prior) != ("diagonal_gaussian", "standard_normal"):
            raise UsageError("latents hold posterior and prior; leave those out.")
        if given.latent_dim != latent_dim:
            raise UsageError(
                f"The decoder takes {latent_dim} latents; its latents have "
                f"{given.latent_dim}."
            )
        return given
    return OneLevel(
        component(posterior, POSTERIORS, Posterior, latent_dim=latent_dim, seed=seed),
        component(prior, PRIORS, Prior, latent_dim=latent_dim),
    )


def networks(encoder, decoder, image_shape, latent_dim, num_classes) -> tuple:
    """Encoder and decoder as models whose shapes are known.

    Args:
        encoder: A Functional or Sequential model with an input, or a model of a user's
            own class.
        decoder: The same.
        image_shape: (H, W, C), or None to take the encoder's, which it has from its
            input, or from a call.
        latent_dim: int, or None to take the decoder's.
        num_classes: int, where both take a label too.

    Returns:
        What was given, or a Functional model around it.

    Raises:
        UsageError: If an input is not known, or not that of a VAE.
    """
    latent_shape = None if latent_dim is None else (latent_dim,)
    return (
        _network(encoder, "encoder", image_shape, num_classes),
        _network(decoder, "decoder", latent_shape, num_classes),
    )


def _network(given, name, shape, num_classes):
    argument, rank, what = _TAKEN[name]
    shapes, symbolic = _input_shapes(given)
    if shapes is None:
        if shape is None:
            raise UsageError(
                f"The {name} must be built; begin it with keras.Input(shape), call it "
                f"once, or pass VAE(..., {argument}=...)."
            )
        shapes = [(None, *shape), (None,)][: 1 if num_classes is None else 2]
    expected = 1 if num_classes is None else 2
    if len(shapes) != expected:
        raise UsageError(
            f"The {name} must take {expected} input(s) for num_classes={num_classes}; "
            f"it takes {len(shapes)}."
        )
    taken = tuple(shapes[0][1:])
    if 1 + len(taken) != rank:
        raise UsageError(f"The {name} takes {shapes[0]} and must take {what}.")
    if shape is not None and tuple(shape) != taken:
        raise UsageError(f"The {name} takes {taken}; {argument} says {shape}.")
    if symbolic:
        return given
    inputs = keras.Input(taken)
    if num_classes is not None:
        inputs = [inputs, keras.Input((), dtype="int64", name="label")]
    return keras.Model(inputs, given(inputs), name=name)


_TAKEN = {  # the argument of VAE that says it, its rank, and what it is
    "encoder": (
        "image_shape",
        4,
        "x (B, H, W, C); begin it with keras.Input((H, W, C))",
    ),
    "decoder": (
        "latent_dim",
        2,
        "a flat z (B, latent_dim); begin it with keras.Input((latent_dim,)) and "
        "keras.layers.Reshape to what it needs",
    ),
}


def _input_shapes(given):
    """The shapes of a network's inputs or None, and whether it is made of symbols.

    A class of a user's own has no symbolic input, but knows what it was called on.
    """
    try:
        shapes, symbolic = given.input_shape, True
    except AttributeError:
        shapes, symbolic = (given.get_build_config() or {}).get("input_shape"), False
    if shapes is None:
        return None, False
    shapes = shapes if isinstance(shapes[0], list | tuple) else [shapes]
    return shapes, symbolic and shapes[0][0] is None  # else it is for one batch size


def check_encoder(encoder: keras.Model, num_params: int, latent_dim: int) -> None:
    """Refuses an encoder that does not give the posterior's parameters."""
    output = _output(encoder)
    outputs = output if isinstance(output, list | tuple) else [output]
    if isinstance(output, dict):
        raise UsageError(
            f"The encoder must give one tensor or the pair [mean, log_var]; it gives a "
            f"dict of {', '.join(output)}."
        )
    if any(len(tensor.shape) != 2 for tensor in outputs):
        shapes = " and ".join(str(tensor.shape) for tensor in outputs)
        raise UsageError(
            f"The encoder must give flat parameters (B, {num_params}); it gives "
            f"{shapes}. End it with keras.layers.Flatten and Dense."
        )
    widths = [tensor.shape[1] for tensor in outputs]
    pair = [latent_dim, latent_dim]
    unequal = len(widths) == 2 and sum(pair) == num_params and widths != pair
    if sum(widths) == num_params and not unequal:
        return
    if len(widths) > 2:
        raise UsageError(
            f"The encoder must give the two [mean, log_var]; it gives {len(widths)}. "
            "Leave z out, the model draws it itself: keras.Model(x, [mean, log_var])."
        )
    raise UsageError(
        f"The encoder must give {num_params} numbers an image for latent_dim="
        f"{latent_dim}; it gives {' + '.join(map(str, widths))}. Change its last layer "
        "or the decoder's input."
    )


def _output(network):
    """What a network gives, in symbols; a Sequential model gives one tensor."""
    if isinstance(network, keras.Sequential):
        return network.outputs[0]
    return network.output


def check_keywords(keywords: dict, takes: Callable) -> None:
    """Refuses keywords that no Keras model takes, and says where they belong.

    Args:
        keywords: Of `VAE`, beyond its own.
        takes: `VAE`, whose own keywords are suggested for misspelt ones.
    """
    for name, value in keywords.items():
        if name in ("name", "dtype", "trainable"):
            continue
        for place, part in _places():
            if name in inspect.signature(part).parameters:
                place = place.format(part.__name__, f"{name}={value!r}")
                raise UsageError(f"VAE takes no {name}; pass it as {place}.")
        own = [key for key in inspect.signature(takes).parameters if key != "kwargs"]
        raise unknown("argument", name, own)


def _places():
    """Where an argument may belong: how to write it there, and what takes it."""
    tables = {"objective": OBJECTIVES, "prior": PRIORS, "likelihood": LIKELIHOODS}
    yield "encoder, decoder = {}(..., {})", mlp
    for argument, table in tables.items():
        yield from ((f"{argument}={{}}({{}})", part) for part in table.values())
    yield from (("posterior={}({})", part) for part in POSTERIORS.values())
    yield "vae.{}({})", keras.Model.compile
    yield "vae.{}(images, {})", keras.Model.fit
    yield "vae.compile(keras.optimizers.{}({}))", keras.optimizers.Adam


def check_levels(decoder: keras.Model, latents: Latents) -> None:
    """Refuses a decoder whose levels are not those of the latents, if they have some.

    Raises:
        UsageError: If it has other levels, or none.
    """
    if isinstance(latents, Levels):
        widths = TopDown.of(decoder).widths
        if widths != latents.posterior.widths:
            raise UsageError(
                f"The decoder's levels are {widths} wide, those of the latents "
                f"{latents.posterior.widths}; they must agree."
            )


def check_decoder(
    decoder: keras.Model, image_shape, likelihood: Likelihood, latents: Latents
) -> None:
    """Refuses a decoder that does not give the likelihood's parameters.

    A sigmoid at its end, where the likelihood takes logits, is warned of.
    """
    check_levels(decoder, latents)
    output = _output(decoder)
    if isinstance(output, list | tuple | dict):
        raise UsageError(f"The decoder must give one tensor; it gives {len(output)}.")
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


def build(vae) -> None:
    """Builds those parts that the images are needed for, or that have no weights."""
    for part in (vae.posterior, vae.prior, vae.likelihood):
        if not part.built:
            part.build(vae.image_shape)


def described(vae) -> str:
    """A model in one line, for a person.

    Example:
        >>> described(VAE(encoder, decoder, prior="mixture"))
        '<VAE 28x28x1, latent_dim 20: DiagonalGaussian, GaussianMixture, Bernoulli, \
ELBO>'
    """
    names = ("posterior", "prior", "likelihood", "objective")
    kinds = ", ".join(type(getattr(vae, name)).__name__ for name in names)
    shape = "x".join(map(str, vae.image_shape))
    return f"<{type(vae).__name__} {shape}, latent_dim {vae.latent_dim}: {kinds}>"
