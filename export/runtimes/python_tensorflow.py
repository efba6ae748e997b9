"""Runs `saved_model/` with TensorFlow. A SavedModel is a program: trust its author."""

import tensorflow as tf


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    model = tf.saved_model.load(str(path))

    def decode(z, label=None):
        feed = {"z": z} if label is None else {"z": z, "label": label}
        return _run(model, "decode", feed)["images"]

    return decode


def load_encoder(path):
    """Returns encode(x[, label]) -> mean, log_var, NumPy arrays (batch, latent_dim)."""
    model = tf.saved_model.load(str(path))

    def encode(x, label=None):
        feed = {"x": x} if label is None else {"x": x, "label": label}
        outputs = _run(model, "encode", feed)
        return outputs["mean"], outputs["log_var"]

    return encode


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""
    model = tf.saved_model.load(str(path))

    def generate(seed, num_images, label=None):
        feed = {"seed": seed, "num_images": num_images}
        feed |= {} if label is None else {"label": label}
        feed = {name: tf.constant(value, tf.int64) for name, value in feed.items()}
        outputs = _run(model, "generate", feed)
        return outputs["images"], outputs["z"]

    return generate


def _run(model, signature, feed):
    feed = {name: tf.constant(value) for name, value in feed.items()}
    outputs = model.signatures[signature](**feed)
    return {name: value.numpy() for name, value in outputs.items()}
