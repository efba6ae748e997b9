"""Runs `saved_model/` with TensorFlow."""

import tensorflow as tf


def load_decoder(path):
    """Returns decode(z) or decode(z, label) -> images, NumPy arrays (batch, ...)."""
    model = tf.saved_model.load(str(path))
    signature = model.signatures["decode"]

    def decode(z, label=None):
        inputs = {"z": z} if label is None else {"z": z, "label": label}
        inputs = {name: tf.constant(value) for name, value in inputs.items()}
        return signature(**inputs)["images"].numpy()

    decode.model = model  # the variables live as long as the model is referenced
    return decode
