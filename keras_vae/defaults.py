"""What a run is where its user chose nothing: by the images and the device."""

import dataclasses
from collections.abc import Sequence

from keras_vae.config import TrainConfig
from keras_vae.distributions.portable_noise import MAX_LATENT_DIM
from keras_vae.errors import UsageError
from keras_vae.flags import as_flags
from keras_vae.networks.shapes import (
    default_ladder,
    default_widths,
    ladder_widths,
)

CHOSEN = ("network", "hidden", "latent_dim", "prior", "likelihood", "batch_size")
CHOSEN += ("precision",)
STEPS = 32  # an epoch's, at the least
LARGEST, SMALLEST = 128, 8  # batches
ONE_LEVEL = ("dreg", "beta_tcvae")  # objectives of one level of latents


def chosen(
    config: TrainConfig,
    image_shape: Sequence[int],
    num_images: int,
    *,
    gpu: bool = False,
) -> TrainConfig:
    """Options with nothing left open: each that is None is chosen from the images.

    | option | grey, at most 32x32 | color, at most 64x64 | other images |
    |---|---|---|---|
    | `network` | mlp | ladder | plain_conv |
    | `prior` | standard_normal | flow | standard_normal; flow in color |

    A ladder is left to images without `latent_dim`, another posterior, or an objective
    of one level. The `likelihood` is bernoulli.

    | option | mlp, gated_mlp | conv, plain_conv, ladder |
    |---|---|---|
    | `hidden` | 400 | 16, 32, 64, ... up to 256, until the last map is about 4x4; of \
a ladder twice that, up to 128 |
    | `latent_dim` | 20 | 8 * 2 ** len(hidden): 64 at 32x32, 128 at 64x64; of \
a ladder those of its maps |
    | `batch_size` | 128 | 128, halved until an epoch has 32 steps, 8 at the least; at \
most 32 above 64x64 without a GPU |
    | `precision` | float32 | bfloat16 on a GPU, but for the logistic mixture, whose \
first steps it changes by up to a third; else float32 |

    So 28x28 grey images have the textbook model. Of emoji in color, 32x32, trained for
    eight minutes or less on two cores, draws of a ladder under a flow have a Frechet
    distance of 33.3, those of plain_conv 69.7, and 42.7 under a flow that is fitted to
    it afterwards; at 64x64 24.6, 81.8, and 40.8 (README).

    Args:
        config: The options as the user gave them.
        image_shape: (H, W, C).
        num_images: int, of the training data.
        gpu: Whether the training runs on one.

    Returns:
        The config; those that were given are as they were.

    Raises:
        UsageError: If an option that was given is none of what was chosen.

    Example:
        >>> config = chosen(TrainConfig(), (64, 64, 3), 60_000)
        >>> config.network, config.hidden, config.latent_dim
        ('ladder', (32, 64, 128, 128), (64, 64, 256, 1024))
    """
    height, width, channels = image_shape
    side, color = max(height, width), channels > 1
    network = "mlp" if side <= 32 and not color else "plain_conv"
    if side <= 64 and color and _may_be_levels(config):
        network = "ladder"
    prior = "flow" if color else "standard_normal"
    config = _with(config, network=network, prior=prior, likelihood="bernoulli")
    if config.network in ("mlp", "gated_mlp"):
        return _with(config, latent_dim=(20,), batch_size=LARGEST, precision="float32")
    widths = default_ladder if config.network == "ladder" else default_widths
    config = _with(config, hidden=widths(image_shape))
    latent_dim = (8 * 2 ** len(default_widths(image_shape)),)
    if config.network == "ladder":
        sizes = config.hidden, config.num_levels, config.latent_channels
        latent_dim = ladder_widths(image_shape, *sizes)
        if sum(latent_dim) > MAX_LATENT_DIM:
            raise UsageError(
                f"This ladder has {sum(latent_dim):,} latents, {latent_dim} by level; "
                f"at most {MAX_LATENT_DIM:,} will do. Lower --num-levels or "
                "--latent-channels, or give --hidden more widths."
            )
    coarse = gpu and config.likelihood != "discretized_logistic_mixture"
    batch_size = LARGEST if gpu or side <= 64 else 32
    while batch_size > max(SMALLEST, num_images / STEPS):
        batch_size //= 2
    return _with(
        config,
        latent_dim=latent_dim,
        batch_size=batch_size,
        precision="bfloat16" if coarse else "float32",
    )


def _may_be_levels(config):
    """Whether the options that were given go with latents in several maps."""
    of_one = config.posterior != "diagonal_gaussian" or config.objective in ONE_LEVEL
    return config.latent_dim is None and not of_one


def _with(config, **values):
    """The config with values for those of its options that are None."""
    missing = {k: v for k, v in values.items() if getattr(config, k) is None}
    return dataclasses.replace(config, **missing)


def chosen_flags(given: TrainConfig, config: TrainConfig) -> str:
    """What `chosen` chose, as flags that would say the same; empty if nothing.

    Args:
        given: The options before.
        config: The options after.

    Example:
        >>> given = TrainConfig(network="mlp", prior="flow", likelihood="bernoulli")
        >>> chosen_flags(given, chosen(given, (28, 28, 1), 60_000))
        '--latent-dim 20 --batch-size 128 --precision float32'
    """
    names = [name for name in CHOSEN if getattr(given, name) is None]
    return as_flags({name: getattr(config, name) for name in names})
