"""What a training says: a bar on a terminal, a line an epoch, and the time left."""

import collections
import itertools
import statistics
import time
from typing import Any

import keras
from tqdm import tqdm


class EpochLines(keras.callbacks.Callback):
    """Prints a line an epoch: the metrics, and how long the training will take.

    Metrics are in nats per image, with two decimals. The time left is the median of
    what whole epochs took, with validation and pictures, but for the first one, in
    which everything is compiled. On a terminal a bar shows the steps of the epoch.

    Example:
        >>> _ = vae.fit(images, epochs=1, verbose=0, callbacks=[EpochLines()])
        Compiling; an epoch has 32 steps.
        Epoch 1/1: elbo -...
    """

    def __init__(self):
        super().__init__()
        self._bar = tqdm(disable=True)
        # a deque is nothing that a `Checkpoint` takes to another process
        self._ends = collections.deque([0.0])

    def on_train_begin(self, logs=None):
        self._ends = collections.deque([time.monotonic()])
        print(f"Compiling; an epoch has {self.params['steps']} steps.", flush=True)

    def on_epoch_begin(self, epoch, logs: Any = None):
        self._bar = tqdm(
            desc=f"Epoch {epoch + 1}/{self.params['epochs']}",
            total=self.params["steps"],
            unit="step",
            leave=False,
            disable=None,  # looks for a terminal
        )

    def on_train_batch_end(self, batch, logs: Any = None):
        self._bar.update(batch + 1 - self._bar.n)

    def on_epoch_end(self, epoch, logs: Any = None):
        self.close()
        self._ends.append(time.monotonic())
        shown = {f"{name}": f"{value:.2f}" for name, value in (logs or {}).items()}
        for prefix in ("", "val_"):  # as a rule the loss is the elbo once more
            if shown.get(f"{prefix}loss") == shown.get(f"{prefix}elbo", "").lstrip("-"):
                del shown[f"{prefix}loss"]
        metrics = [f"{name} {value}" for name, value in shown.items()]
        line = f"Epoch {epoch + 1}/{self.params['epochs']}: {', '.join(metrics)}"
        left = self.params["epochs"] - epoch - 1
        took = [b - a for a, b in itertools.pairwise(self._ends)][1:]
        if left and took:
            line += f"; about {duration(left * statistics.median(took))} left"
        print(line, flush=True)

    def close(self) -> None:
        """Takes the bar away, also where a training ends within an epoch."""
        self._bar.close()


def duration(seconds: float) -> str:
    """A time as a person says it, in one or two units.

    Example:
        >>> duration(3.2), duration(200), duration(5000)
        ('3 s', '3 min', '1 h 23 min')
    """
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
