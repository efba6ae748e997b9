"""A split of images that stay where they are stored, and are read when needed."""

import dataclasses
import hashlib

import numpy as np

from keras_vae.data.decoding import ImageFiles
from keras_vae.data.image_files import without_warnings
from keras_vae.data.row_file import RowFile
from keras_vae.data.splits import ArraySplit, batches_of, described, rows_in_a_piece
from keras_vae.errors import DataError


@dataclasses.dataclass(frozen=True, eq=False)
class StoredSplit:
    """Some images of a store.

    Attributes:
        store: Where the images of all splits are.
        rows: int64 (N,), the numbers of those in this one.
        labels: int64 (N,), class numbers from 0, or `None`.
    """

    store: ImageFiles | RowFile
    rows: np.ndarray
    labels: np.ndarray | None

    def __repr__(self):
        return described(self)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels, (H, W, C)."""
        return self.store.image_shape

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Images by their number in this split; see `Store.read`."""
        return self.store.read(self.rows[rows])

    def batches(self, batch_size, **options):
        """See `Split.batches`."""
        return batches_of(self, self.labels, None, batch_size, **options)

    def digest(self) -> str:
        """See `Split.digest`: of the files, not of their pixels."""
        digest = hashlib.sha256(self.store.digest.encode())
        for part in (self.rows, self.labels):
            digest.update(b"" if part is None else part.astype(np.int64).tobytes())
        return digest.hexdigest()

    def mean_image(self) -> np.ndarray:
        """The mean over all images, float (H, W, C) in [0, 1]."""
        total = np.zeros(self.image_shape, np.int64)
        rows = rows_in_a_piece(self.image_shape)
        for start in range(0, len(self), rows):
            images = self.store.read(self.rows[start : start + rows])
            total += images.sum(axis=0, dtype=np.int64)
        return total / len(self) / 255

    def part(self, rows) -> "StoredSplit":
        """Some of the images, where they are."""
        labels = None if self.labels is None else self.labels[rows]
        return StoredSplit(self.store, self.rows[rows], labels)

    def take(self, rows) -> ArraySplit:
        """Some of the images, in memory."""
        part = self.part(rows)
        try:
            with without_warnings():
                return ArraySplit(self.store.read(part.rows), part.labels)
        except DataError:
            self.store.check()  # says how many there are
            raise
