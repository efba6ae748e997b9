"""Runs `decoder.onnx` and `generator.onnx` with tract (Rust): `pip install tract`."""

import numpy as np
import tract


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    model = tract.onnx().load(str(path)).into_model().into_runnable()

    def decode(z, label=None):
        (images,) = model.run([z] if label is None else [z, label])
        return images.to_numpy()

    return decode


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""
    model = tract.onnx().load(str(path)).into_model().into_runnable()

    def generate(seed, num_images, label=None):
        feed = [seed, num_images] if label is None else [seed, num_images, label]
        images, z = model.run([np.array(value, np.int64) for value in feed])
        return images.to_numpy(), z.to_numpy()

    return generate
