"""What the numbers of a run depend on beside its options."""

import importlib.metadata
import json
import os
import platform

import tensorflow as tf


def environment() -> str:
    """Versions and hardware, the text of environment.json."""
    packages = (
        "keras-vae",
        "tensorflow",
        "keras",
        "numpy",
        "onnx",
        "tf2onnx",
        "onnxruntime",
    )
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout
            versions[package] = None
    environment = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "gpus": [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        ],
        "packages": versions,
    }
    return json.dumps(environment, indent=2) + "\n"
