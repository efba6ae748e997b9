"""Whether a training fits into this machine, told before anything is allocated."""

import math
from collections.abc import Sequence

from keras_vae.config import TrainConfig
from keras_vae.data.budget import machine_bytes
from keras_vae.errors import UsageError

FLOAT = 4  # bytes
COPIES = 4  # of a weight: itself, its gradient, two moments of the optimizer

# option -> what it decides, at the least
SMALLEST = {
    "hidden": {"hidden": (1,)},
    "latent_dim": {"latent_dim": 1, "prior_dim": 1},
    "num_components": {"num_components": 0},
    "num_mixtures": {"num_mixtures": 1},
    "batch_size": {"batch_size": 1},
    "num_samples": {"num_samples": 1},
    "fused_steps": {"fused_steps": 0},
}


def check_memory(
    config: TrainConfig, image_shape: Sequence[int], num_images: int
) -> None:
    """Refuses a model that needs more memory than the machine has.

    Args:
        config: The options of the run.
        image_shape: (H, W, C).
        num_images: int, of the training data.

    Raises:
        UsageError: If the weights and one step need more than all of it, with the
            option that matters most.
    """
    sizes = {
        "hidden": config.hidden,
        "latent_dim": sum(config.widths),
        "prior_dim": config.widths[0],
        "num_components": config.num_components or 0,
        "num_mixtures": config.num_mixtures or 1,
        "batch_size": config.batch_of(num_images),
        "num_samples": config.num_samples,
        "fused_steps": config.fused_steps or 0,
    }
    pixels = math.prod(image_shape)
    needed, there = training_bytes(pixels, **sizes), machine_bytes()
    if needed <= there:
        return
    option = min(
        SMALLEST, key=lambda option: training_bytes(pixels, **sizes | SMALLEST[option])
    )
    raise UsageError(
        f"This training needs at least {needed / 1e9:,.0f} GB of memory, more "
        f"than the machine's {there / 1e9:,.0f} GB; lower --{option.replace('_', '-')}."
    )


def training_bytes(
    pixels: int,
    *,
    hidden: Sequence[int],
    latent_dim: int,
    prior_dim: int,
    num_components: int,
    num_mixtures: int,
    batch_size: int,
    num_samples: int,
    fused_steps: int,
) -> int:
    """What a training needs at the least: its matrices, one step, one slice of images.

    Args:
        pixels: int, numbers in an image.
        hidden: Widths of the encoder's hidden layers.
        latent_dim: int D.
        prior_dim: int, the width of the level that the prior is of.
        num_components: int, of the prior; 0 for one without.
        num_mixtures: int, the decoder's outputs for a pixel and channel, or fewer.
        batch_size: int, images in a step.
        num_samples: int, posterior samples of each.
        fused_steps: int, batches in a slice; 0 where that is chosen for the user.

    Returns:
        Bytes.
    """
    outputs = pixels * num_mixtures
    encoder = [pixels, *hidden, 2 * latent_dim]
    decoder = [latent_dim, *reversed(hidden), outputs]
    weights = num_components * prior_dim
    for widths in (encoder, decoder):
        weights += sum(a * b for a, b in zip(widths, widths[1:], strict=False))
    samples = batch_size * num_samples
    step = batch_size * sum(encoder) + samples * sum(decoder)
    step += samples * num_components * prior_dim
    return FLOAT * (COPIES * weights + step) + fused_steps * batch_size * pixels
