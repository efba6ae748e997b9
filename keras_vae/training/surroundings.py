"""The state of a training beside its variables: callbacks, versions, settings."""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
from typing import Any

import keras
import numpy as np
import tensorflow as tf

PACKAGES = ("tensorflow", "keras", "numpy")
FLAGS = (
    *("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA"),
    *("KERAS_VAE_XLA", "XLA_FLAGS", "TF_XLA_FLAGS"),
)
ARRAY = "array"  # the key of a reference to one


def versions() -> dict[str, Any]:
    """What decides the last bits of a number beside the program, as JSON values."""
    threads = tf.config.threading
    return {
        **{package: importlib.metadata.version(package) for package in PACKAGES},
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0))
        if platform.system() == "Linux"
        else os.cpu_count(),
        "threads": [
            threads.get_intra_op_parallelism_threads(),
            threads.get_inter_op_parallelism_threads(),
        ],
        "devices": [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        ],
        **{flag: os.environ.get(flag) for flag in FLAGS},
    }


def _processor():
    """Which instructions there are decides the order of sums."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            models = (line for line in file if line.startswith("model name"))
            return next(models).split(":")[1].strip()
    except (OSError, StopIteration):
        return platform.processor()


def settings_of(**values: Any) -> dict[str, Any]:
    """Settings as JSON values.

    Args:
        **values: JSON values, and models, which become their configs. Numbers that
            Keras appends to names are left out, for they count through a process; of a
            model that has no config its class remains.
    """

    def config(model):
        try:
            return keras.saving.serialize_keras_object(model)["config"]
        except NotImplementedError:
            return type(model).__qualname__

    values = {
        name: config(value) if isinstance(value, keras.Model) else value
        for name, value in values.items()
    }
    text = json.dumps(values, default=str)
    return json.loads(re.sub(r'"([A-Za-z][A-Za-z0-9_]*?)_\d+"', r'"\1"', text))


def difference(before, now, name="") -> tuple[str, Any, Any]:
    """The first name under which two JSON values differ, or an empty one."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in before if key not in now)]:
            inner = f"{name}.{key}" if name else key
            found = difference(before.get(key), now.get(key), inner)
            if found[0]:
                return found
        return "", None, None
    return ("", None, None) if before == now else (name, before, now)


def callback_state(
    callback: keras.callbacks.Callback, arrays: dict[str, np.ndarray] | None = None
) -> dict[str, Any]:
    """The attributes of a callback that are data, as JSON values.

    Args:
        callback: of any class.
        arrays: takes the arrays among them, by their checksum.

    Returns:
        dict from the attribute's name; numbers, arrays, and lists and dicts of them and
        of texts. A text by itself is none: it may be a path.
    """
    found = {}
    for name, value in vars(callback).items():
        if name != "params" and not isinstance(value, str):
            try:
                found[name] = _packed(value, {} if arrays is None else arrays)
            except TypeError:
                pass  # no data
    return found


def restore_callback(callback, values: dict, arrays: dict[str, np.ndarray]) -> None:
    """Gives a callback the values of attributes, as `callback_state` has them."""
    known = callback_state(callback)
    for name, value in values.items():
        if name in known:
            setattr(callback, name, _unpacked(value, arrays))


def _packed(value, arrays) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub":
        value = np.asarray(value, order="C")
        text = f"{value.dtype.str} {value.shape}".encode()
        digest = hashlib.sha256(text + value.tobytes()).hexdigest()
        arrays[f"callbacks/{digest}"] = value
        return {ARRAY: f"callbacks/{digest}"}
    if isinstance(value, list | tuple):
        return [_packed(item, arrays) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _packed(item, arrays) for key, item in value.items()}
    raise TypeError("not data")


def _unpacked(value, arrays) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, arrays) for item in value]
    if isinstance(value, dict):
        if {*value} == {ARRAY}:
            return arrays[value[ARRAY]]
        return {key: _unpacked(item, arrays) for key, item in value.items()}
    return value
