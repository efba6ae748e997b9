"""`python -m tests.benchmarks.extractors RUN`: whether features order images rightly.

Noise, blurred images, the model's draws, its reconstructions and training images are
compared with the test images: each must be nearer than the one before.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import tyro
from PIL import Image, ImageFilter

from keras_vae.cli import command, start_tensorflow


@dataclasses.dataclass(frozen=True)
class OrderConfig:
    """Compare worse and better images with the test images of a run."""

    run: tyro.conf.Positional[Path]
    """The run folder."""
    num_images: int = 2000
    """Of each kind."""
    noise: float = 0.3
    """Standard deviation of the noise, where white is 1."""
    blur: float = 2.5
    """Standard deviation of the Gaussian blur, in pixels."""


def noisy(images: np.ndarray, size: float) -> np.ndarray:
    """Images with Gaussian noise, float (N, H, W, C) in [0, 1]."""
    noise = np.random.default_rng(0).normal(0, size, images.shape)
    return np.clip(images / 255 + noise, 0, 1)


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    """Images after Pillow's Gaussian blur, uint8 (N, H, W, C)."""
    pictures = (Image.fromarray(image.squeeze()) for image in images)
    smooth = (picture.filter(ImageFilter.GaussianBlur(sigma)) for picture in pictures)
    return np.stack([np.asarray(picture) for picture in smooth]).reshape(images.shape)


def order(config: OrderConfig) -> None:
    """Prints a row for each kind of image."""
    start_tensorflow()
    from keras_vae.metrics.features import shipped_extractor
    from keras_vae.metrics.sample_quality import compared, sample_quality, table
    from keras_vae.runs.trained import TrainedRun

    run = TrainedRun(config.run)
    extractor = shipped_extractor(run.vae.image_shape[2])
    train, test = run.source.train, run.source.test
    report = sample_quality(
        run.vae, train, test, extractor, num_draws=config.num_images
    )
    images = train.take(np.arange(min(config.num_images, len(train)))).images
    reference = extractor(test.take(np.arange(len(test))).images)
    report["noise"] = compared(extractor(noisy(images, config.noise)), reference)
    report["blur"] = compared(extractor(blurred(images, config.blur)), reference)
    rows = ("noise", "blur", "samples", "reconstructions", "training_images")
    print(table(report, rows))


if __name__ == "__main__":
    sys.exit(command(order, OrderConfig, prog="python -m tests.benchmarks.extractors"))
