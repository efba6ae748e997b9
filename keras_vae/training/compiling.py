"""Whether XLA compiles, where nobody says."""

import os

import tensorflow as tf


def compiles(model) -> bool:
    """What `jit_compile="auto"` means: yes, but for convolutions on a CPU.

    There XLA is slow. Elsewhere it pays for the seconds that a compilation takes, and
    for some 20 MB that each program holds for as long as the process lives. A process
    that trains many small models turns it off: by `KERAS_VAE_XLA=0` in its environment.

    Args:
        model: A model or a layer, by whose weights its convolutions are known.

    Example:
        >>> vae.compile("adam", jit_compile=compiles(vae))
    """
    if os.environ.get("KERAS_VAE_XLA") == "0":
        return False
    return bool(tf.config.list_physical_devices("GPU")) or not any(
        weight.name == "kernel" and len(weight.shape) > 2 for weight in model.weights
    )
