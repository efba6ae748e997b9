"""From the options of a run to its model, with fresh weights, and its optimizer."""

import contextlib
import inspect
import math

import keras
import numpy as np

from keras_vae.config import TrainConfig
from keras_vae.defaults import chosen
from keras_vae.distributions.latents import OneLevel
from keras_vae.distributions.levels import Levels, TopDownPosterior, above
from keras_vae.distributions.table import LIKELIHOODS, POSTERIORS, PRIORS
from keras_vae.errors import UsageError
from keras_vae.model import VAE
from keras_vae.networks.table import NETWORKS, OF_LEVELS
from keras_vae.objectives.table import OBJECTIVES
from keras_vae.training.optimizers import OPTIMIZERS, schedule

# in float16, to begin with: Keras's 2^15, for losses of about 1, overflows on hundreds
# of nats, and the first steps, which matter most, would be left out
LOSS_SCALE = 2.0**10


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
        config: The options of the run; what is None is chosen, as without a GPU.
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
    config = chosen(config, image_shape, num_images)
    if not config.conditional:
        num_classes = None
    elif num_classes is None:
        raise UsageError("A conditional model needs labels; the data set has none.")
    likelihood = _component(config, "likelihood", LIKELIHOODS)
    output_bias = None
    if config.output_bias and data_mean is not None:
        output_bias = likelihood.output_bias(data_mean)
    several = len(config.widths) > 1 or config.network not in NETWORKS
    made = _of_levels if several else _of_one_level
    with _precision(config.precision):
        encoder, decoder, latents = made(
            config,
            image_shape=image_shape,
            likelihood_params=likelihood.num_params,
            num_classes=num_classes,
            output_bias=output_bias,
            seed=config.seed,
        )
    return VAE(
        encoder,
        decoder,
        latents=latents,
        likelihood=likelihood,
        objective=_objective(config, num_images),
        num_samples=config.num_samples,
        num_classes=num_classes,
        binarization=config.binarization,
        seed=config.seed,
        name="vae",
    )


def _of_one_level(config, **given):
    """Encoder, decoder and latents of one level."""
    (latent_dim,), seed = config.widths, config.seed
    posterior = _component(
        config, "posterior", POSTERIORS, latent_dim=latent_dim, seed=seed
    )
    prior = _component(config, "prior", PRIORS, latent_dim=latent_dim, seed=seed)
    encoder, decoder = _component(
        config,
        "network",
        NETWORKS,
        latent_dim=latent_dim,
        posterior_params=posterior.num_params,
        **given,
    )
    return encoder, decoder, OneLevel(posterior, prior)


def _of_levels(config, **given):
    """Encoder, decoder and latents of several levels."""
    if config.posterior != "diagonal_gaussian":
        raise UsageError(
            "Several levels have the posterior diagonal_gaussian at each; got "
            f"{config.posterior}. Leave it out, or take a network of one level."
        )
    networks = _component(
        config, "network", OF_LEVELS, latent_dim=config.widths, **given
    )
    top, seed = config.widths[0], config.seed
    prior = _component(config, "prior", PRIORS, latent_dim=top, seed=seed)
    latents = Levels(
        TopDownPosterior(top, networks.posteriors, seed),
        above(prior, sum(config.widths)),
    )
    return networks.encoder, networks.decoder, latents


@contextlib.contextmanager
def _precision(name):
    """Layers made here multiply in `name`; their weights are float32 all the same."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name if name == "float32" else f"mixed_{name}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _component(config, axis, table, **given):
    """The component that was chosen for an axis, with its options.

    Args:
        config: The options of the run.
        axis: Field of `config` that holds the name.
        table: Where the name stands.
        **given: Arguments that take effect where the component has them.
    """
    component = table[getattr(config, axis)]
    known = inspect.signature(component).parameters
    given = {name: value for name, value in given.items() if name in known}
    return component(**config.arguments(axis), **given)


def _objective(config, num_images):
    steps = math.ceil(num_images / config.batch_of(num_images))
    given = {"num_images": num_images}
    if config.kl_warmup:
        given["warmup_steps"] = max(1, round(config.kl_warmup * steps))
        having = [
            name
            for name, component in OBJECTIVES.items()
            if "warmup_steps" in inspect.signature(component).parameters
        ]
        if config.objective not in having:
            raise UsageError(
                f"The objective {config.objective} has no kl_warmup; leave that option "
                f"out, or choose the objective {' or '.join(having)}."
            )
    return _component(config, "objective", OBJECTIVES, **given)


def build_optimizer(config: TrainConfig, num_images: int) -> keras.optimizers.Optimizer:
    """The optimizer that a config describes.

    Args:
        config: The options of the run.
        num_images: int, of the training data.

    Returns:
        A new optimizer. In float16, where small gradients would be 0, it scales the
        loss (Micikevicius et al. 2018).

    Raises:
        UsageError: If an option is out of its range.
    """
    steps = math.ceil(num_images / config.batch_of(num_images))
    rate = schedule(
        config.learning_rate,
        int(config.learning_rate_warmup * steps),
        config.epochs * steps if config.cosine_decay else None,
    )
    optimizer = _component(config, "optimizer", OPTIMIZERS, learning_rate=rate)
    if config.precision == "float16":
        return keras.optimizers.LossScaleOptimizer(optimizer, LOSS_SCALE)
    return optimizer
