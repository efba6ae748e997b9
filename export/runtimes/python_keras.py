"""Runs `decoder.keras` with Keras. Trust its author: such a file can hold code."""

import keras


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    model = keras.saving.load_model(str(path))

    def decode(z, label=None):
        inputs = z if label is None else [z, label]
        return keras.ops.convert_to_numpy(model(inputs, training=False))

    return decode
