"""Runs `decoder.onnx` and `generator.onnx` with onnx's own evaluator (slow, exact)."""

import numpy as np
from onnx.reference import ReferenceEvaluator


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    model = ReferenceEvaluator(str(path))

    def decode(z, label=None):
        feed = {"z": z} if label is None else {"z": z, "label": label}
        return model.run(["images"], feed)[0]

    return decode


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""
    model = ReferenceEvaluator(str(path))

    def generate(seed, num_images, label=None):
        feed = {"seed": np.int64(seed), "num_images": np.int64(num_images)}
        feed |= {} if label is None else {"label": np.int64(label)}
        return tuple(model.run(["images", "z"], feed))

    return generate
