"""Image files, decoded by number, in several threads."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from keras_vae.data.image_files import ImageOptions, read_image, without_warnings
from keras_vae.errors import DataError, on_one_line

CHUNK = 16  # images that a thread sees to before it asks for more


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files of one folder, as a `Store`.

    Attributes:
        folder: Where they lie.
        names: Their names in it.
        options: How to convert them; the channels are settled.
        image_shape: (H, W, C) of every image.
        digest: Of all that decides about their pixels.
        checked: Whether it is known that all can be decoded.
    """

    folder: Path
    names: Sequence[str]
    options: ImageOptions
    image_shape: tuple[int, int, int]
    digest: str = ""
    checked: bool = False

    def __len__(self) -> int:
        return len(self.names)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Decodes some of them; see `Store.read`.

        Raises:
            DataError: If one cannot be decoded, or has another shape.
        """
        numbers = rows.reshape(-1)
        images = np.empty((len(numbers), *self.image_shape), np.uint8)

        def decode(place):
            images[place] = self._image(numbers[place])

        for _ in in_threads(decode, range(len(numbers))):
            pass
        return images.reshape(*rows.shape, *self.image_shape)

    def _image(self, row):
        path = self.folder / self.names[int(row)]
        image = read_image(path, self.options)
        if image.shape != self.image_shape:
            sides = (*image.shape[:2], *self.image_shape[:2])
            raise DataError(
                "{}: {}x{} pixels, where others have {}x{}; pass --image-size.".format(
                    on_one_line(path), *sides
                )
            )
        return image

    def check(self) -> None:
        """Decodes every image where that was not done yet.

        Raises:
            DataError: If there are any that cannot be, with their number.
        """
        if self.checked:
            return
        with without_warnings():
            if broken := undecodable(self.folder, self.names, self.options):
                raise refusal(broken, len(self))


def undecodable(
    folder: Path, names: Sequence[str], options: ImageOptions
) -> dict[str, DataError]:
    """Decodes images to see which cannot be: name -> what is wrong with it."""

    def fault(name):
        try:
            read_image(folder / name, options)
        except DataError as error:
            return error

    tried = tqdm(
        in_threads(fault, names),
        "looking at the images",
        len(names),
        leave=False,
        delay=2,
        disable=None,  # looks for a terminal
    )
    faults = zip(names, tried, strict=True)
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
