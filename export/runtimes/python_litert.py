"""Runs `decoder.tflite` with LiteRT: `pip install ai-edge-litert`."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    run = Interpreter(str(path)).get_signature_runner("decode")

    def decode(z, label=None):
        feed = {"z": z} if label is None else {"z": z, "label": label}
        return run(**feed)["images"]

    return decode


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""
    run = Interpreter(str(path)).get_signature_runner("generate")

    def generate(seed, num_images, label=None):
        feed = {"seed": np.int64(seed), "num_images": np.int64(num_images)}
        feed |= {} if label is None else {"label": np.int64(label)}
        outputs = run(**feed)
        return outputs["images"], outputs["z"]

    return generate
