"""Runs `decoder.onnx` and `generator.onnx` in Node, through `node/run.mjs`.

`npm install --ignore-scripts onnxruntime-node` in this folder, in the working folder,
or in the folder that the variable KERAS_VAE_NODE names.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).parent / "node" / "run.mjs"
FOLDERS = [Path(os.environ.get("KERAS_VAE_NODE", ".")), SCRIPT.parent]
MODULES = next(
    (f for f in FOLDERS if (f / "node_modules" / "onnxruntime-node").is_dir()), None
)
if MODULES is None or shutil.which("node") is None:
    raise ImportError("Node with the package onnxruntime-node is missing")


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""

    def decode(z, label=None):
        # A float32 printed as the float64 of the same value comes back bit by bit.
        feed = {"z": z.tolist()} | ({} if label is None else {"label": label.tolist()})
        return _run(path, feed)["images"]

    return decode


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""

    def generate(seed, num_images, label=None):
        feed = {"seed": seed, "num_images": num_images}
        feed |= {} if label is None else {"label": label}
        outputs = _run(path, feed)
        return outputs["images"], outputs["z"]

    return generate


def _run(path, feed):
    with tempfile.TemporaryDirectory() as folder:
        # Node looks for packages beside the script, so it is run from there.
        script = shutil.copy(SCRIPT, folder)
        os.symlink((MODULES / "node_modules").resolve(), f"{folder}/node_modules")
        files = [f"{folder}/images.bin", f"{folder}/z.bin"]
        command = ["node", script, str(Path(path).resolve()), "-", *files]
        done = subprocess.run(
            command, input=json.dumps(feed), check=True, capture_output=True, text=True
        )
        return {
            name: np.fromfile(f"{folder}/{name}.bin", np.float32).reshape(shape)
            for name, shape in json.loads(done.stdout).items()
        }
