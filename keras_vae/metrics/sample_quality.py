"""What samples look like: their distances to test images, beside two yardsticks.

Draws of a model are compared with the test images, and so are training images, the best
that any model of them can do, and the model's reconstructions of the same, which lose
what the latents cannot carry. No reconstruction is of an image that it is compared
with: such pairs would flatter it.
"""

import numpy as np
from tqdm import tqdm

from keras_vae.data.checks import labels_in_turn
from keras_vae.data.dividing import stratified_draw
from keras_vae.data.splits import Split
from keras_vae.errors import DataError, diverged, whole_number
from keras_vae.metrics.distances import frechet_distance, kernel_distance
from keras_vae.metrics.features import Extractor
from keras_vae.metrics.neighbors import DENSITY, neighborhoods

SETS = ("samples_before", "samples", "reconstructions", "training_images")
PIECE = 1024  # images that are made at a time


def sample_quality(
    vae,
    train: Split,
    test: Split,
    extractor: Extractor,
    *,
    before=None,
    num_draws: int = 10_000,
    num_images: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> dict:
    """Compares draws, reconstructions and training images with test images.

    All images are rounded to 8 bits, as files keep them. A draw is the likelihood's
    mean, as `VAE.generate` gives it; a conditional model draws its classes in turn.
    Test images are as the data set has them, not binarized. The training images, as
    many as draws if there are so many, are drawn with each class in proportion.

    Args:
        vae: `VAE`.
        train: The training images.
        test: The test images.
        extractor: What the features are of.
        before: Another `VAE`, whose draws are compared, too, as `samples_before`.
        num_draws: int >= 6.
        num_images: int, of the first test images; None: all.
        seed: int in [0, 2**24), of the draws.
        progress: bool, shows bars where standard error is a terminal.

    Returns:
        dict with `extractor`, `sha256`, `num_features`, `split`, `num_images` and
        `seed`, and a dict for each of `samples`, `reconstructions` and
        `training_images`, of the numbers of `compared`.

    Raises:
        UsageError: If an argument is out of range.
        DataError: If there are too few images.
        DivergedError: If the model gives what is no number.

    Example:
        >>> from keras_vae import ArraySplit
        >>> from keras_vae.metrics.features import shipped_extractor
        >>> split = ArraySplit(images)
        >>> report = sample_quality(
        ...     vae, split, split, shipped_extractor(channels=1), num_draws=100
        ... )
        >>> report["training_images"]["num_images"], report["extractor"]
        (100, 'mnist_28x28x1')
    """
    num_draws = whole_number("num_draws", num_draws, minimum=DENSITY + 1)
    num_images = min(len(test), num_images or len(test))
    if min(num_images, len(train)) <= DENSITY:
        raise DataError(
            f"Samples are compared with {DENSITY + 1} or more test and training images;"
            f" got {num_images} and {len(train)}."
        )
    labels = np.zeros(len(train)) if train.labels is None else train.labels
    chosen = stratified_draw(labels, min(num_draws, len(train)), (seed, 3))
    test_rows = np.arange(num_images)
    earlier = {} if before is None else {"samples_before": before}
    sets = {
        name: (_draws(model, num_draws, seed), num_draws)
        for name, model in (earlier | {"samples": vae}).items()
    }
    sets |= {
        "reconstructions": (_reconstructions(vae, train, chosen), len(chosen)),
        "training_images": (_images(train, chosen), len(chosen)),
        "test_images": (_images(test, test_rows), num_images),
    }
    features = {
        name: extractor.of(batches, total, name.replace("_", " "), progress)
        for name, (batches, total) in sets.items()
    }
    reference = features.pop("test_images")
    numbers = {}
    for name in tqdm(features, "distances", disable=not progress or None):
        numbers[name] = compared(features[name], reference)
    return {
        "extractor": extractor.name,
        "sha256": extractor.sha256,
        "num_features": extractor.num_features,
        "split": "test",
        "num_images": num_images,
        "seed": seed,
        **numbers,
    }


def compared(images: np.ndarray, reference: np.ndarray) -> dict:
    """All numbers of two sets of features, under the names of metrics.json.

    Args:
        images: float (M, F).
        reference: float (N, F).

    Returns:
        `num_images`, `frechet_distance`, `kernel_distance` and its standard error, and
        those of `neighborhoods`.

    Raises:
        DataError: As `neighborhoods`.
    """
    distance, error = kernel_distance(images, reference)
    return {
        "num_images": len(images),
        "frechet_distance": frechet_distance(images, reference),
        "kernel_distance": distance,
        "kernel_distance_standard_error": error,
        **neighborhoods(images, reference),
    }


def table(report: dict) -> str:
    """A report of `sample_quality` in lines to print, with the extractor's checksum.

    Args:
        report: As returned.

    Returns:
        Text of several lines.
    """
    lines = [
        f"against {report['num_images']:,} test images, by {report['num_features']} "
        f"features of {report['extractor']} (SHA-256 {report['sha256']}):",
        f"{'':15} {'images':>7} {'Frechet':>9} {'kernel distance':>21} "
        "precision recall density coverage",
    ]
    for name in (name for name in SETS if name in report):
        row = report[name]
        distance = (
            f"{row['kernel_distance']:.4g} +- "
            f"{row['kernel_distance_standard_error']:.2g}"
        )
        lines.append(
            f"{name.replace('_', ' '):15} {row['num_images']:7,} "
            f"{row['frechet_distance']:9.4g} {distance:>21} {row['precision']:9.3f} "
            f"{row['recall']:6.3f} {row['density']:7.3f} {row['coverage']:8.3f}"
        )
    lines += [
        "Of the distances less is better (that of the kernel is unbiased, and may be",
        "below 0), of the others more; training images show what can be reached.",
    ]
    return "\n".join(lines)


# === Images, in pieces ===


def _pieces(number):
    return [
        np.arange(k, min(k + PIECE, number)) for k in range(0, number, PIECE)
    ]  # (B,) each


def _draws(vae, number, seed):
    labels = labels_in_turn(None, number, vae.num_classes)
    vae.refresh_prior()
    for rows in _pieces(number):
        z = vae.latents.draw(seed, len(rows), first_image=int(rows[0]))
        yield _finite(vae.decode(z, labels[rows]))


def _reconstructions(vae, split, chosen):
    for rows in _pieces(len(chosen)):
        part = split.take(chosen[rows])
        images = part.images
        if vae.preparation is not None:
            images = vae.preparation(images, first=int(rows[0]))
        yield _finite(vae.reconstruct(images, part.labels))


def _images(split, chosen):
    for rows in _pieces(len(chosen)):
        yield split.take(chosen[rows]).images


def _finite(images):
    if not np.isfinite(images).all():
        raise diverged("A pixel of a generated image", images[~np.isfinite(images)][0])
    return images
