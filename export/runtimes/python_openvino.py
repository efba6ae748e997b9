"""Runs `openvino/` with OpenVINO: `pip install openvino`.

Without the precision hint new processors compute in bfloat16, and pixels are 4e-3 off.
"""

import numpy as np
import openvino

PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    model = openvino.Core().compile_model(str(path), "CPU", PRECISION)

    def decode(z, label=None):
        feed = {"z": z} if label is None else {"z": z, "label": label}
        return model(feed)["images"].copy()

    return decode


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""
    model = openvino.Core().compile_model(str(path), "CPU", PRECISION)

    def generate(seed, num_images, label=None):
        feed = {"seed": np.int64(seed), "num_images": np.int64(num_images)}
        feed |= {} if label is None else {"label": np.int64(label)}
        outputs = model(feed)
        return outputs["images"].copy(), outputs["z"].copy()

    return generate
