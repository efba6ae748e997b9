"""Functions of many rows, compiled once and run in pieces that memory can hold."""

import numpy as np
import tensorflow as tf

from keras_vae.training.tracing import each_model_once

ROWS = 1024  # images encoded or decoded in one call


class InPieces:
    """A function of arrays with as many rows each, run `ROWS` rows at a time.

    Args:
        function: Of tensors (B, ...); returns one tensor (B, ...).

    Example:
        >>> InPieces(lambda z: 2 * z)(np.ones((5000, 20), np.float32)).shape
        (5000, 20)
    """

    def __init__(self, function):
        self._function = tf.function(function, reduce_retracing=True, autograph=False)

    @each_model_once()
    def __call__(self, *arrays) -> np.ndarray:
        pieces = [
            self._function(*(array[start : start + ROWS] for array in arrays)).numpy()
            for start in range(0, len(arrays[0]), ROWS)
        ]
        return np.concatenate(pieces)
