"""The end of `fit` and `evaluate` where a loss is no longer a number.

A step after it would only spread the NaN, and a callback that saves would put it in the
place of good weights. So the loop of `fused_steps` stops there, and the error comes
before the other callbacks.
"""

import math
from typing import Any

import keras

from keras_vae.errors import DivergedError, diverged
from keras_vae.training.fused_steps import FusedFunction
from keras_vae.training.image_model import METRICS


def guarded(callbacks) -> list[keras.callbacks.Callback]:
    """Callbacks of a user, and before them the one that ends a divergence.

    Args:
        callbacks: What `fit` or `evaluate` was given. A `TerminateOnNaN` among them
            ends the training in its own way, and is left to it.

    Returns:
        A list for Keras.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    callbacks = [] if callbacks is None else keras.tree.flatten(callbacks)
    if any(isinstance(one, keras.callbacks.TerminateOnNaN) for one in callbacks):
        return callbacks
    return [StopOnDivergence(), *callbacks]


class StopOnDivergence(keras.callbacks.Callback):
    """Ends `fit` at the first step whose loss is not finite, and `evaluate`.

    It is the first callback, so that nothing is saved of an epoch that diverged.

    Raises:
        DivergedError: If the loss of a step, or a metric of an epoch or of an
            evaluation, is NaN or infinite.
    """

    def __init__(self):
        super().__init__()
        self._epoch: Any = None  # of fit
        self._first = 0  # step of a call

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self._first = batch

    def on_train_batch_end(self, batch, logs: Any = None):
        if not math.isfinite(loss := logs.get("loss", 0.0)):
            function = self.model.train_function
            steps = int(function.steps) if isinstance(function, FusedFunction) else 1
            self._raise("loss", loss, f"at step {self._first + steps} of")

    def on_test_end(self, logs: Any = None):
        for name, value in _not_finite(logs):
            if self._epoch is not None:
                self._raise(name, value, "in the validation of")
            raise diverged(f"The {name} of the evaluation", value)

    def on_epoch_end(self, epoch, logs: Any = None):
        for name, value in _not_finite(logs):
            self._raise(name, value, "in")

    def _raise(self, name, value, place):
        kept = "no epoch was finished"
        if self._epoch:
            kept = "what was saved of the epochs before is kept"
        raise DivergedError(
            f"The {name} became {value} {place} epoch {self._epoch + 1}; {kept}. Try a "
            "lower learning rate."
        )


def _not_finite(logs):
    """The metrics that are NaN or infinite, (name, value) each, the loss first."""
    for name in (*METRICS, *(f"val_{name}" for name in METRICS)):
        if not math.isfinite(value := logs.get(name, 0.0)):
            yield name, value
