"""Runs `decoder.tflite` with LiteRT: `pip install ai-edge-litert`."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    run = Interpreter(str(path)).get_signature_runner("decode")
    batch = run.get_input_details()["z"]["shape_signature"][0]  # -1 takes any

    def decode(z, label=None):
        feed = {"z": z} if label is None else {"z": z, "label": label}
        if batch == -1:
            return run(**feed)["images"]
        parts = []
        for start in range(0, len(z), batch):
            rows = [x[start : start + batch] for x in feed.values()]
            missing = batch - len(rows[0])  # filled up with zeros
            rows = [np.pad(x, [(0, missing), (0, 0)][: x.ndim]) for x in rows]
            parts.append(run(**dict(zip(feed, rows, strict=True)))["images"])
        return np.concatenate(parts)[: len(z)]

    return decode


def load_encoder(path):
    """Returns encode(x[, label]) -> mean, log_var, NumPy arrays (batch, latent_dim)."""
    run = Interpreter(str(path)).get_signature_runner("encode")

    def encode(x, label=None):
        outputs = run(**({"x": x} if label is None else {"x": x, "label": label}))
        return outputs["mean"], outputs["log_var"]

    return encode


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""
    run = Interpreter(str(path)).get_signature_runner("generate")

    def generate(seed, num_images, label=None):
        feed = {"seed": np.int64(seed), "num_images": np.int64(num_images)}
        feed |= {} if label is None else {"label": np.int64(label)}
        outputs = run(**feed)
        return outputs["images"], outputs["z"]

    return generate
