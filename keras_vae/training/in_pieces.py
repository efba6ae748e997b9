"""Functions of many rows, compiled once and run in pieces that memory can hold."""

import math

import keras
import numpy as np
import tensorflow as tf

from keras_vae.training.tracing import each_model_once

ROWS = 1024  # images encoded or decoded in one call, at most
FLOATS = 2**26  # numbers that a layer gives in one call, at most: 256 MB


def rows_of(model: keras.Model) -> int:
    """Images that a model may see in one call, so that memory holds its layers."""
    return max(1, min(ROWS, FLOATS // widest(model)))


def widest(model: keras.Model) -> int:
    """The most numbers that a layer of a model, or of a model in it, gives a row."""
    widths = [1]
    for layer in (model, *model.layers):
        if layer is not model and isinstance(layer, keras.Model):
            widths.append(widest(layer))
            continue
        try:
            output = layer.output
        except AttributeError:  # it has none in a subclassed model
            continue
        outputs = output if isinstance(output, list | tuple) else [output]
        shapes = [output.shape[1:] for output in outputs]
        widths += [math.prod(size or 1 for size in shape) for shape in shapes]
    return max(widths)


class InPieces:
    """A function of arrays with as many rows each, run some rows at a time.

    Args:
        function: Of tensors (B, ...); returns one tensor (B, ...).
        model: What it runs, by which the rows are counted; None for `ROWS`.

    Example:
        >>> InPieces(lambda z: 2 * z)(np.ones((5000, 20), np.float32)).shape
        (5000, 20)
    """

    def __init__(self, function, model: keras.Model | None = None):
        self._rows = ROWS if model is None else rows_of(model)
        self._function = tf.function(function, reduce_retracing=True, autograph=False)

    @each_model_once()
    def __call__(self, *arrays) -> np.ndarray:
        rows = self._rows
        pieces = [
            self._function(*(array[start : start + rows] for array in arrays)).numpy()
            for start in range(0, len(arrays[0]), rows)
        ]
        return np.concatenate(pieces)
