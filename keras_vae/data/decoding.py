"""Images in files, decoded when they are needed, in several threads."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae.data.image_files import ImageOptions, read_image, without_warnings
from keras_vae.data.splits import ArraySplit
from keras_vae.errors import DataError

CHUNK = 16  # images that a thread sees to before it asks for more


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files of one folder, by number.

    Attributes:
        folder: Where they lie.
        names: Their names in it.
        options: How to convert them; the channels are settled.
        image_shape: (H, W, C) of every image.
    """

    folder: Path
    names: Sequence[str]
    options: ImageOptions
    image_shape: tuple[int, int, int]

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Decodes some of them.

        Args:
            rows: int (n,), their numbers.

        Returns:
            uint8 (n, H, W, C).

        Raises:
            DataError: If one cannot be decoded, or has another shape.
        """
        images = np.empty((len(rows), *self.image_shape), np.uint8)

        def decode(place):
            images[place] = self._image(rows[place])

        for _ in in_threads(decode, range(len(rows))):
            pass
        return images

    def _image(self, row):
        path = self.folder / self.names[int(row)]
        image = read_image(path, self.options)
        if image.shape != self.image_shape:
            sides = (*image.shape[:2], *self.image_shape[:2])
            raise DataError(
                "{}: {}x{} pixels, where others have {}x{}; pass --image-size.".format(
                    path, *sides
                )
            )
        return image


@dataclasses.dataclass(frozen=True, eq=False)
class FileSplit:
    """A split of image files.

    Attributes:
        files: The files of all splits.
        rows: int64 (N,), the numbers of those in this one.
        labels: int64 (N,), class numbers from 0, or `None`.
    """

    files: ImageFiles
    rows: np.ndarray
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels, (H, W, C)."""
        return self.files.image_shape

    def part(self, rows) -> "FileSplit":
        """Some of the images, in their files."""
        labels = None if self.labels is None else self.labels[rows]
        return FileSplit(self.files, self.rows[rows], labels)

    def take(self, rows) -> ArraySplit:
        """Some of the images, in memory."""
        part, files = self.part(rows), self.files
        with without_warnings():
            try:
                return ArraySplit(files.read(part.rows), part.labels)
            except DataError as error:
                broken = undecodable(files.folder, files.names, files.options)
                if not broken:  # but of another shape
                    raise
                raise refusal(broken, len(files.names)) from error


def undecodable(
    folder: Path, names: Sequence[str], options: ImageOptions
) -> dict[str, DataError]:
    """Decodes images to see which cannot be: name -> what is wrong with it."""

    def fault(name):
        try:
            read_image(folder / name, options)
        except DataError as error:
            return error

    faults = zip(names, in_threads(fault, names), strict=True)
    return {name: error for name, error in faults if error}


def refusal(broken: dict[str, DataError], number: int) -> DataError:
    """The error for images that cannot be used, of which the first is named.

    Args:
        broken: Name -> what is wrong with it, of at least one.
        number: int, of all images.
    """
    first = broken[min(broken)]
    return DataError(
        f"{str(first).rstrip('.')}; of {number:,} images {len(broken):,} cannot be "
        "used: remove them, or pass --skip-broken."
    )


def in_threads(function: Callable[[Any], Any], items: Sequence) -> Iterator:
    """What a function gives for each of some items, in their order.

    Pillow decodes without holding Python's lock, so threads share the work.
    """

    def some(start):
        return [function(item) for item in items[start : start + CHUNK]]

    for results in _threads().map(some, range(0, len(items), CHUNK)):
        yield from results


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "decode")
