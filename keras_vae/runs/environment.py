"""The versions and the hardware that a run is trained with."""

import importlib.metadata
import json
import os
import platform


def environment() -> str:
    """What the numbers of a run depend on beside its config.

    Returns:
        JSON, as `environment.json` holds it.
    """
    import tensorflow as tf

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
    found = {
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
    return json.dumps(found, indent=2) + "\n"
