"""Splits: images to learn from, to hold out, to test on, wherever they are kept.

`Split` says what the rest of the package asks of one, so that images in memory
(`ArraySplit`) and streams from disk are used alike.
"""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from keras_vae.errors import UsageError

if TYPE_CHECKING:
    import tensorflow as tf


PIECE = 2**26  # bytes of pixels read in one piece


@runtime_checkable
class Split(Protocol):
    """Images of one split, with their labels where there are any."""

    @property
    def labels(self) -> np.ndarray | None:
        """int64 (N,), class numbers from 0, or `None`."""
        ...

    def __len__(self) -> int:
        """The number of images N."""
        ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels, (H, W, C)."""
        ...

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        first_epoch: int = 0,
        first_step: int = 0,
        slice_steps: int | None = None,
    ) -> "tf.data.Dataset":
        """Batches of one shape: images (B, H, W, C), labels (B,), weight (B,).

        Args:
            batch_size: int B >= 1.
            seed: int, for epochs without end whose order is a function of (seed,
                epoch); None for every image once, in order.
            first_epoch: int >= 0, the epoch to begin with.
            first_step: int >= 0, how many batches of that epoch to leave out, without
                reading their images.
            slice_steps: int K or None; with an int, slices of K batches.
        """
        ...

    def digest(self) -> str:
        """A checksum of images, labels and weights, which differs where they do."""
        ...

    def mean_image(self) -> np.ndarray:
        """The mean over all images, float (H, W, C) in [0, 1]."""
        ...

    def take(self, rows: Sequence[int] | np.ndarray | slice) -> "ArraySplit":
        """Some of the images, in memory."""
        ...


def described(split: Split) -> str:
    """A split in a few words, for a person: kind, number, shape, labels."""
    shape = "x".join(map(str, split.image_shape))
    labeled = "" if split.labels is None else ", labeled"
    return f"<{type(split).__name__}: {len(split):,} images of {shape}{labeled}>"


@runtime_checkable
class SupportsArray(Protocol):
    """What NumPy turns into an array by itself: arrays and tensors of any library."""

    def __array__(self): ...


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySplit:
    """A split in memory.

    Attributes:
        images: uint8 (N, H, W, C), or float in [0, 1].
        labels: int64 (N,), class numbers from 0, or `None`.
        weight: float (N,), how much each image counts in means, or `None`.
        factors: int64 (N, F), from 0, what each image was made from, or `None`.

    Example:
        >>> split = ArraySplit(np.zeros((10, 28, 28, 1), np.uint8))
        >>> len(split), split.image_shape
        (10, (28, 28, 1))
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    weight: np.ndarray | None = None
    factors: np.ndarray | None = None

    def __repr__(self):
        return described(self)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels, (H, W, C)."""
        return self.images.shape[1:]

    def batches(self, batch_size, **options):
        """See `Split.batches`."""
        return batches_of(self.images, self.labels, self.weight, batch_size, **options)

    def digest(self) -> str:
        """See `Split.digest`."""
        digest = hashlib.sha256()
        for part in (self.images, self.labels, self.weight):
            if part is not None:
                part = np.ascontiguousarray(part)
                digest.update(f"{part.dtype.str} {part.shape}".encode())
                digest.update(part.reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    def mean_image(self) -> np.ndarray:
        """The mean over all images, float (H, W, C) in [0, 1]."""
        highest = 255 if self.images.dtype == np.uint8 else 1
        return self.images.mean(axis=0) / highest

    def take(self, rows) -> "ArraySplit":
        """Some of the images."""
        beside = (self.labels, self.weight, self.factors)
        parts = (None if part is None else part[rows] for part in beside)
        return ArraySplit(self.images[rows], *parts)

    part = take  # some of the images, where they are


class Store(Protocol):
    """uint8 images by number, wherever they are kept."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels, (H, W, C)."""
        ...

    def __len__(self) -> int:
        """The number of images N."""
        ...

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Some images, uint8 (*rows.shape, H, W, C).

        Args:
            rows: int, their numbers, of any shape.
        """
        ...


def rows_in_a_piece(image_shape: Sequence[int]) -> int:
    """Images whose pixels are read in one piece: at most 64 MB, or one image.

    Args:
        image_shape: (H, W, C).

    Example:
        >>> rows_in_a_piece((64, 64, 3)), rows_in_a_piece((9000, 9000, 3))
        (5461, 1)
    """
    return max(1, PIECE // math.prod(image_shape))


def batches_of(
    images: np.ndarray | Store,
    labels: np.ndarray | None,
    weight: np.ndarray | None,
    batch_size: int,
    *,
    seed: int | None = None,
    first_epoch: int = 0,
    first_step: int = 0,
    slice_steps: int | None = None,
) -> "tf.data.Dataset":
    """Batches of images in an array or a store; see `Split.batches`."""
    from keras_vae.data import pipeline  # readers stay free of TensorFlow

    labels = np.zeros(len(images), np.int64) if labels is None else labels
    arrays = (images, labels, weight)
    if seed is None:
        return pipeline.evaluation_batches(
            *arrays, batch_size=batch_size, slice_steps=slice_steps
        )
    return pipeline.training_batches(
        *arrays,
        batch_size=batch_size,
        seed=seed,
        first_epoch=first_epoch,
        first_step=first_step,
        slice_steps=slice_steps,
    )


def divided(x, y, sample_weight, share: float) -> tuple[tuple, tuple]:
    """Holds out the last part of images in an array.

    Args:
        x: Images (N, ...), an array or a list.
        y: (N,), labels or `None`.
        sample_weight: (N,), weights or `None`.
        share: Of the images to hold out, between 0 and 1.

    Returns:
        Images, labels and weights to train on, and those held out.

    Raises:
        UsageError: If `x` is no array, or the share out of range.
    """
    if not 0 < share < 1:
        raise UsageError(f"validation_split must be between 0 and 1; got {share!r}.")
    if not isinstance(x, SupportsArray | list):
        raise UsageError(
            f"validation_split divides images in an array; with a {type(x).__name__} "
            "pass validation_data."
        )
    images = np.asarray(x)
    number = int(len(images) * (1 - share))
    others = (None if part is None else np.asarray(part) for part in (y, sample_weight))
    parts = (images, *others)
    first, last = (
        tuple(None if part is None else part[rows] for part in parts)
        for rows in (slice(number), slice(number, None))
    )
    return first, last
