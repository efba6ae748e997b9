"""Runs `decoder.onnx` and `generator.onnx` with onnx's own evaluator (slow, exact)."""

import numpy as np
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun


class DequantizeLinear(OpRun):
    """Widens int8 weights; onnx has this operator from opset 19 on only."""

    op_domain = ""

    def _run(self, x, scale, zero, axis=1, **other):
        shape = [-1 if k == axis else 1 for k in range(x.ndim)]
        return ((x.astype("f4") - zero.reshape(shape)) * scale.reshape(shape),)


def _evaluator(path):
    return ReferenceEvaluator(str(path), new_ops=[DequantizeLinear])


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    model = _evaluator(path)

    def decode(z, label=None):
        feed = {"z": z} if label is None else {"z": z, "label": label}
        with np.errstate(all="ignore"):  # it takes the overflow of exp in its stride
            return model.run(["images"], feed)[0]

    return decode


def load_encoder(path):
    """Returns encode(x[, label]) -> mean, log_var, NumPy arrays (batch, latent_dim)."""
    return _of_images(path, ["mean", "log_var"])


def load_score(path):
    """Returns score(x[, label]) -> elbo_at_mean (batch,), reconstruction, mean, ..."""
    return _of_images(path, ["elbo_at_mean", "reconstruction", "mean", "log_var"])


def _of_images(path, outputs):
    model = _evaluator(path)

    def run(x, label=None):
        feed = {"x": x} if label is None else {"x": x, "label": label}
        with np.errstate(all="ignore"):
            return tuple(model.run(outputs, feed))

    return run


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""
    model = _evaluator(path)

    def generate(seed, num_images, label=None):
        feed = {"seed": np.int64(seed), "num_images": np.int64(num_images)}
        feed |= {} if label is None else {"label": np.int64(label)}
        with np.errstate(all="ignore"):
            return tuple(model.run(["images", "z"], feed))

    return generate
