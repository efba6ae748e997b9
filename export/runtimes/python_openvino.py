"""Runs `openvino/` with OpenVINO: `pip install openvino`.

Without the precision hint new processors compute in bfloat16, and pixels are 4e-3 off.
There is one `Core` for the process: when two are gone, those processors are left with a
stack for signals that is unmapped, and Ctrl-C is a crash.
"""

import numpy as np
import openvino

PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}
CORE = openvino.Core()


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    model = CORE.compile_model(str(path), "CPU", PRECISION)

    def decode(z, label=None):
        feed = {"z": z} if label is None else {"z": z, "label": label}
        return model(feed)["images"].copy()

    return decode


def load_encoder(path):
    """Returns encode(x[, label]) -> mean, log_var, NumPy arrays (batch, latent_dim)."""
    model = CORE.compile_model(str(path), "CPU", PRECISION)

    def encode(x, label=None):
        outputs = model({"x": x} if label is None else {"x": x, "label": label})
        return outputs["mean"].copy(), outputs["log_var"].copy()

    return encode


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""
    model = CORE.compile_model(str(path), "CPU", PRECISION)

    def generate(seed, num_images, label=None):
        feed = {"seed": np.int64(seed), "num_images": np.int64(num_images)}
        feed |= {} if label is None else {"label": np.int64(label)}
        outputs = model(feed)
        return outputs["images"].copy(), outputs["z"].copy()

    return generate
