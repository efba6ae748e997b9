"""Runs `decoder.keras` and `encoder.keras` with Keras.

Trust their author: such a file can hold code.
"""

import keras


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    model = keras.saving.load_model(str(path))

    def decode(z, label=None):
        inputs = z if label is None else [z, label]
        return keras.ops.convert_to_numpy(model(inputs, training=False))

    return decode


def load_encoder(path):
    """Returns encode(x[, label]) -> mean, log_var, NumPy arrays (batch, latent_dim)."""
    model = keras.saving.load_model(str(path))

    def encode(x, label=None):
        outputs = model(x if label is None else [x, label], training=False)
        names = ("mean", "log_var")
        return tuple(keras.ops.convert_to_numpy(outputs[name]) for name in names)

    return encode
