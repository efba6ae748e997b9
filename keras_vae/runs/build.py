"""From the options of a run to its model, with fresh weights, and its optimizer."""

import contextlib
import inspect
import math

import keras
import numpy as np

from keras_vae.config import TrainConfig
from keras_vae.distributions.table import LIKELIHOODS, POSTERIORS, PRIORS
from keras_vae.errors import UsageError
from keras_vae.model import VAE
from keras_vae.networks import NETWORKS
from keras_vae.objectives.table import OBJECTIVES
from keras_vae.training.optimizers import OPTIMIZERS


def build_vae(
    config: TrainConfig,
    image_shape: tuple[int, int, int],
    num_classes: int | None = None,
    *,
    num_images: int,
    data_mean: np.ndarray | None = None,
) -> VAE:
    """The model that a config describes, with fresh weights, not compiled.

    Args:
        config: The options of the run.
        image_shape: (H, W, C) of the data.
        num_classes: int, the labels of the data; used where `config.conditional`.
        num_images: int, of the training data.
        data_mean: float (H, W, C) in [0, 1], the mean training image; used where
            `config.output_bias`.

    Returns:
        `VAE`; the same arguments give the same weights.

    Raises:
        UsageError: If an option does not go with the others.
    """
    if not config.conditional:
        num_classes = None
    elif num_classes is None:
        raise UsageError("A conditional model needs labels; the data set has none.")
    given = _same(config, "num_flows")
    latents = {"latent_dim": config.latent_dim, "seed": config.seed}
    posterior = _component(config, "posterior", POSTERIORS, given, **latents)
    given = _same(config, "num_components")
    prior = _component(config, "prior", PRIORS, given, **latents)
    given = _same(config, "sigma", "scale", "num_mixtures")
    likelihood = _component(config, "likelihood", LIKELIHOODS, given)
    output_bias = None
    if config.output_bias and data_mean is not None:
        output_bias = likelihood.output_bias(data_mean)
    with _precision(config.precision):
        encoder, decoder = NETWORKS[config.network](
            image_shape,
            config.latent_dim,
            posterior_params=posterior.num_params,
            likelihood_params=likelihood.num_params,
            hidden=config.hidden,
            activation=config.activation,
            num_classes=num_classes,
            output_bias=output_bias,
            seed=config.seed,
        )
    return VAE(
        encoder,
        decoder,
        posterior=posterior,
        prior=prior,
        likelihood=likelihood,
        objective=_objective(config, num_images),
        num_samples=config.num_samples,
        num_classes=num_classes,
        binarization=config.binarization,
        seed=config.seed,
        name="vae",
    )


@contextlib.contextmanager
def _precision(name):
    """Layers made here multiply in `name`; their weights are float32 all the same."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if name == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _component(config, axis, table, given, **always):
    """A component by its name, with those options that were given.

    Args:
        config: The options of the run.
        axis: Field of `config` that holds the name.
        table: Where the name stands.
        given: Option -> (the component's own name for it, value); None leaves it out.
        **always: Arguments that take effect where the component has them.
    """
    name = getattr(config, axis)
    component = table[name]
    known = inspect.signature(component).parameters
    arguments = {key: value for key, value in always.items() if key in known}
    for option, (argument, value) in given.items():
        if value is None:
            continue
        if argument not in known:
            raise UsageError(
                f"The {axis} {name} has no {option}; leave that option out, or choose "
                f"the {axis} {_having(table, argument)}."
            )
        arguments[argument] = value
    return component(**arguments)


def _having(table, argument):
    """The names of those components that have an argument, to choose from."""
    names = [
        name
        for name, component in table.items()
        if argument in inspect.signature(component).parameters
    ]
    return " or ".join(names)


def _same(config, *options):
    """Options whose name is the component's own."""
    return {option: (option, getattr(config, option)) for option in options}


def _objective(config, num_images):
    steps = math.ceil(num_images / config.batch_size)
    given = _same(config, "beta", "warmup_cycles") | {
        "kl_warmup": ("warmup_steps", round(config.kl_warmup * steps) or None),
        "free_bits": ("free_bits", config.free_bits or None),
    }
    return _component(config, "objective", OBJECTIVES, given, num_images=num_images)


def build_optimizer(config: TrainConfig, num_images: int) -> keras.optimizers.Optimizer:
    """The optimizer that a config describes.

    Args:
        config: The options of the run.
        num_images: int, of the training data.

    Returns:
        A new optimizer.
    """
    rate = config.learning_rate
    if config.cosine_decay:
        steps = config.epochs * math.ceil(num_images / config.batch_size)
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    return OPTIMIZERS[config.optimizer](rate)
