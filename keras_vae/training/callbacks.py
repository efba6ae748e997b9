"""Callbacks of `train`: image grids, history, weights."""

import csv
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vae.files import replaced
from keras_vae.pictures.grids import image_grid, pair_grid, save_png
from keras_vae.training import state


class ImageGrids(keras.callbacks.Callback):
    """Saves two PNG grids after each epoch.

    `epoch-0001-generated.png` shows images from prior draws that stay the same through
    the run; `epoch-0001-reconstructed.png` shows pairs, left the input, right the mean
    reconstruction.

    Args:
        folder: where to; it must exist.
        images: (N, H, W, C) inputs to reconstruct, uint8 or float in [0, 1].
        labels: int (N,), for a conditional model.
        num_generated: images in the generated grid.
        seed: of the prior draws.
    """

    def __init__(
        self,
        folder: Path,
        images: np.ndarray,
        labels: np.ndarray | None = None,
        num_generated: int = 64,
        seed: int = 0,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.images = images
        self.labels = labels
        self.num_generated = num_generated
        self.seed = seed

    def on_epoch_end(self, epoch, logs: Any = None):
        stem = f"epoch-{epoch + 1:04d}"
        generated = self.model.generate(self.num_generated, seed=self.seed)
        save_png(image_grid(generated), self.folder / f"{stem}-generated.png")
        reconstructed = self.model.reconstruct(self.images, self.labels)
        pairs = pair_grid(self.images, reconstructed, columns=8)
        save_png(pairs, self.folder / f"{stem}-reconstructed.png")


class History(keras.callbacks.Callback):
    """Writes `history.csv`, one row an epoch.

    Columns: `epoch` from 1; `seconds` spent in the training steps, without compilation,
    validation and pictures; the metrics in nats per image, validation ones as `val_*`.

    Args:
        path: the file; it is rewritten whole after each epoch.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = Path(path)
        self.rows = []

    def on_train_begin(self, logs=None):
        self._compiled = self.model.compile_seconds

    def on_epoch_begin(self, epoch, logs=None):
        self._seconds = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._seconds += time.perf_counter() - self._start

    def on_epoch_end(self, epoch, logs: Any = None):
        compiling = self.model.compile_seconds - self._compiled
        self._compiled += compiling
        seconds = self._seconds - compiling
        self.rows.append({"epoch": epoch + 1, "seconds": f"{seconds:.3f}", **logs})
        with replaced(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the best epoch, in a file of `keras_vae.training.state`.

    Args:
        path: the file; it is written whenever the monitored metric is higher than ever
            before.
        monitor: the metric to compare; higher is better.
    """

    def __init__(self, path: Path, monitor: str = "val_elbo"):
        super().__init__()
        self.path = Path(path)
        self.monitor = monitor
        self.best = -np.inf

    def on_epoch_end(self, epoch, logs: Any = None):
        if logs[self.monitor] > self.best:
            self.best = logs[self.monitor]
            weights = state.arrays_of(state.by_name(self.model.weights))
            facts = {"epoch": epoch + 1, "monitor": self.monitor, "value": self.best}
            state.write(self.path, weights, facts)
