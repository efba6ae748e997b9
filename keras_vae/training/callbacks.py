"""Callbacks of `train`: image grids, history, weights."""

import csv
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from keras_vae.files import replaced
from keras_vae.pictures.grids import (
    columns_of_classes,
    image_grid,
    pair_grid,
    save_png,
)
from keras_vae.training import state


class ImageGrids(keras.callbacks.Callback):
    """Saves two PNG grids after each epoch, or every few, and after the last.

    `epoch-0001-generated.png` shows images from prior draws that stay the same through
    the run; `epoch-0001-reconstructed.png` shows pairs, left the input, right the mean
    reconstruction.

    Args:
        folder: where to; it must exist.
        images: (N, H, W, C) inputs to reconstruct, uint8 or float in [0, 1].
        labels: int (N,), for a conditional model.
        num_generated: images in the generated grid.
        seed: of the prior draws.
        every: epochs from pictures to pictures.
    """

    def __init__(
        self,
        folder: Path,
        images: np.ndarray,
        labels: np.ndarray | None = None,
        num_generated: int = 64,
        seed: int = 0,
        every: int = 1,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.images = images
        self.labels = labels
        self.num_generated = num_generated
        self.seed = seed
        self.every = every
        self._left: int | None = None  # an epoch without pictures

    def on_epoch_end(self, epoch, logs: Any = None):
        self._left = epoch if (epoch + 1) % self.every else None
        if self._left is None:
            self._save(epoch)

    def on_train_end(self, logs=None):
        if self._left is not None:
            self._save(self._left)

    def _save(self, epoch):
        stem = f"epoch-{epoch + 1:04d}"
        generated = self.model.generate(self.num_generated, seed=self.seed)
        columns = columns_of_classes(self.model.num_classes)
        grid = image_grid(generated, columns)
        save_png(grid, self.folder / f"{stem}-generated.png")
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

    def on_epoch_begin(self, epoch, logs=None):
        self._seconds = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self._start = self._training_seconds()

    def on_train_batch_end(self, batch, logs=None):
        self._seconds += self._training_seconds() - self._start

    def _training_seconds(self):
        return time.perf_counter() - self.model.compile_seconds

    def on_epoch_end(self, epoch, logs: Any = None):
        row = {"epoch": epoch + 1, "seconds": f"{self._seconds:.3f}", **logs}
        self.rows.append(row)
        with replaced(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)


class TensorBoard(keras.callbacks.TensorBoard):
    """Writes what TensorBoard shows: the metrics of each epoch, and its pictures.

    Args:
        folder: where to.
        samples: where an `ImageGrids`, which must come before, saves its pictures.
    """

    def __init__(self, folder: Path, samples: Path):
        super().__init__(folder, write_graph=False)
        self.samples = Path(samples)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if "samples" not in self._writers:  # Keras closes them
            folder = str(Path(self.log_dir, "samples"))
            self._writers["samples"] = tf.summary.create_file_writer(folder)
        with self._writers["samples"].as_default():
            for path in sorted(self.samples.glob(f"epoch-{epoch + 1:04d}-*.png")):
                with Image.open(path) as picture:
                    pixels = np.atleast_3d(np.asarray(picture))[None]
                tf.summary.image(path.stem.rpartition("-")[2], pixels, step=epoch)


class AveragedWeights(keras.callbacks.Callback):
    """Lets an epoch end with the averages that the optimizer keeps of the weights.

    Validation and every callback that comes after this one see the averages; the next
    epoch goes on with the weights themselves. At the end of `fit` Keras leaves the
    averages in the model. (`keras.callbacks.SwapEMAWeights` loses the last bits of both
    at each epoch, and ends with the weights themselves where the training stops early.)
    """

    def __init__(self):
        super().__init__()
        self._weights: list[np.ndarray] = []  # while the model has the averages

    def on_epoch_begin(self, epoch, logs=None):
        pairs = zip(self.model.trainable_weights, self._weights, strict=False)
        for variable, weight in pairs:
            variable.assign(weight)
        self._weights = []

    def on_test_begin(self, logs=None):
        self.on_epoch_end(None)

    def on_epoch_end(self, epoch, logs=None):
        if not self._weights:
            weights = self.model.trainable_weights
            self._weights = [weight.numpy() for weight in weights]
            self.model.optimizer.finalize_variable_values(weights)


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the best epoch, in a file of `keras_vae.training.state`.

    Args:
        path: the file; it is written whenever the monitored metric is better than ever
            before.
        monitor: the metric to compare: of a `loss` less is better, else more.
    """

    def __init__(self, path: Path, monitor: str = "val_elbo"):
        super().__init__()
        self.path = Path(path)
        self.monitor = monitor
        self.best = np.inf if self._is_loss else -np.inf

    @property
    def _is_loss(self):
        return self.monitor.endswith("loss")

    def on_epoch_end(self, epoch, logs: Any = None):
        value = logs[self.monitor]
        if value < self.best if self._is_loss else value > self.best:
            self.best = value
            weights = state.arrays_of(state.by_name(self.model.weights))
            facts = {"epoch": epoch + 1, "monitor": self.monitor, "value": value}
            state.write(self.path, weights, facts)

    def restore(self, model) -> int:
        """Gives a model the weights of the best epoch; returns its number, from 1."""
        arrays, facts = state.read(self.path)
        state.assign(self.path, arrays, state.by_name(model.weights))
        return facts["epoch"]
