"""Runs `decoder.onnx` with numpy and onnxruntime alone."""

import onnxruntime as ort


def load_decoder(path):
    """Returns decode(z) or decode(z, label) -> images, NumPy arrays (batch, ...)."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def decode(z, label=None):
        inputs = {"z": z} if label is None else {"z": z, "label": label}
        return session.run(["images"], inputs)[0]

    return decode
