"""Images of one shape one after the other in a file: what is slow to make is kept.

A file is made under another name and renamed when it is complete and on disk, so that a
killed writer leaves none that could be read. What it was made from is in its header; a
file that says something else, or has another size than it says, counts as none.
"""

import contextlib
import json
import math
import os
import shutil
import struct
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import trange

from keras_vae.data.splits import Store, rows_in_a_piece
from keras_vae.errors import DataError, OutputError
from keras_vae.files import check_folder, replaced, written

try:
    import fcntl
except ImportError:  # Windows: two writers are not kept apart
    fcntl = None

MAGIC = b"keras_vae images, 1\n"
MAX_HEADER = 2**28  # bytes
ROWS = 1024  # images written in one piece, at most


class RowFile:
    """Images in a file, as a `Store`.

    Args:
        path: The file, as `write_rows` makes it.

    Attributes:
        path: The file.
        about: What `write_rows` was told about the images.
        image_shape: (H, W, C).

    Raises:
        DataError: If it is none, or damaged.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._file = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)
            start = os.read(self._file, len(MAGIC) + 8)
            (length,) = struct.unpack("<Q", start[len(MAGIC) :])
            if not start.startswith(MAGIC) or length > MAX_HEADER:
                raise ValueError
            header = json.loads(os.read(self._file, length))
            self.about = header["about"]
            self._number, *shape = header["shape"]
            self.image_shape: tuple[int, int, int] = tuple(shape)
            self._row_bytes = math.prod(self.image_shape)
            self._offset = len(start) + length
            size = self._offset + self._number * self._row_bytes
            if os.fstat(self._file).st_size != size:
                raise ValueError
        except (OSError, ValueError, TypeError, KeyError, struct.error) as error:
            raise DataError(f"{path}: no images that can be read.") from error

    @property
    def digest(self) -> str:
        """Of what its images were made from."""
        return self.about["made_from"]

    def __len__(self) -> int:
        return self._number

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Reads some images; see `Store.read`."""
        numbers = rows.reshape(-1)
        images = np.empty((len(numbers), *self.image_shape), np.uint8)
        for image, number in zip(images, numbers.tolist(), strict=True):
            # not mapped into memory, where all that was read would count as ours
            place = self._offset + number * self._row_bytes
            if os.preadv(self._file, [image.data], place) != self._row_bytes:
                raise DataError(f"{self.path}: cut short while it was read.")
        return images.reshape(*rows.shape, *self.image_shape)

    def check(self) -> None:
        """Nothing: every image was decoded when the file was made."""


def found_rows(path: Path, made_from: str) -> RowFile | None:
    """The images in a file, if it is there and was made from that.

    Args:
        path: The file.
        made_from: A digest of what its images are made from.
    """
    try:
        rows = RowFile(path)
    except DataError:
        return None
    return rows if rows.about.get("made_from") == made_from else None


def write_rows(path: Path, about: dict[str, Any], store: Store) -> None:
    """Writes all images of a store to a file, which appears whole or not at all.

    Args:
        path: The file; its folder is made where there is none.
        about: For its header, as JSON; with `made_from` for `found_rows`.
        store: The images.

    Raises:
        UsageError: If its folder has a path that none can have.
        OutputError: If it cannot be written, or somebody else is at it.
        DataError: If an image cannot be read.
    """
    shape = (len(store), *store.image_shape)
    text = json.dumps({"about": about, "shape": shape}).encode()
    needed = math.prod(shape) + len(text)
    check_folder(path.parent)
    with written(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.parent):
            for left in path.parent.glob(f".tmp-*{path.suffix}"):  # by a killed writer
                left.unlink()
            free = shutil.disk_usage(path.parent).free
            if free < needed:
                raise OutputError(
                    f"The cache {path.parent} needs {needed / 1e9:,.1f} GB, of which "
                    f"its disk has {free / 1e9:,.1f} GB; choose another with --cache."
                )
            with replaced(path) as temporary, open(temporary, "wb") as file:
                file.write(MAGIC + struct.pack("<Q", len(text)) + text)
                rows = min(ROWS, rows_in_a_piece(store.image_shape))
                for start in trange(
                    *(0, len(store), rows),
                    desc="decoding to the cache",
                    leave=False,
                    disable=None,  # looks for a terminal
                ):
                    stop = min(start + rows, len(store))
                    file.write(store.read(np.arange(start, stop)).data)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps other writers off a folder, to the end of this or of the process."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"Another training is writing to the cache {folder}; wait for it."
            ) from error
        yield
    finally:
        os.close(handle)
