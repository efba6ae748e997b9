"""Files of arrays and facts, which are read whole and true or not at all.

A file is safetensors (https://github.com/huggingface/safetensors): arrays and JSON, no
code. Beside the facts it carries a SHA-256 of everything in it. It appears by a rename,
so after a kill it is there or not, and a reader refuses one that a disk has changed.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from keras_vae.errors import DivergedError, ModelError, first_line
from keras_vae.files import replaced


def write(path: Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """Writes arrays and facts to a file, whole or not at all.

    Args:
        path: the file; its folder must exist.
        arrays: name -> array of numbers.
        facts: JSON values.

    Raises:
        DivergedError: if a number is NaN or infinite; what was there stays.
        OutputError: if it cannot be written.

    Example:
        >>> write(Path("a.safetensors"), {"z": np.zeros(3)}, {"epoch": 2})
        >>> read(Path("a.safetensors"))
        ({'z': array([0., 0., 0.])}, {'epoch': 2})
    """
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DivergedError(
                f"{name} is no longer finite, so it is not saved to {path.parent}, "
                "where the state before is kept; try a lower learning rate."
            )
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(facts)
    metadata = {"facts": text, "sha256": _digest(arrays, text)}
    with replaced(path) as temporary:
        try:
            safetensors.numpy.save_file(arrays, temporary, metadata)
        except safetensors.SafetensorError as error:  # OSError, as its library has it
            if not (number := re.search(r"os error (\d+)", str(error))):
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and facts of a file that `write` has written.

    Args:
        path: the file.

    Returns:
        As given to `write`.

    Raises:
        ModelError: if it is missing, damaged, or not such a file.
    """
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = metadata["facts"]
        if metadata["sha256"] != _digest(arrays, text):
            raise ValueError("its checksum does not agree")
        return arrays, json.loads(text)
    except Exception as error:  # of a hostile file almost anything
        raise ModelError(f"{path} is damaged ({first_line(error)}).") from error


def _digest(arrays, text):
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ravel(array).view(np.uint8).data)
    return digest.hexdigest()


def by_name(variables: Iterable) -> dict[str, Any]:
    """Each variable once, by a name that is its own.

    Args:
        variables: of Keras; some may come twice.

    Returns:
        dict in their order, which is that of the program that made them.
    """
    each = {id(variable): variable for variable in variables}
    return {f"{k:05d}/{v.path}": v for k, v in enumerate(each.values())}


def arrays_of(variables: dict[str, Any]) -> dict[str, np.ndarray]:
    """The values of variables, by their names."""
    return {name: variable.numpy() for name, variable in variables.items()}


def assign(
    path: Path, arrays: dict[str, np.ndarray], variables: dict[str, Any]
) -> None:
    """Gives all variables the values of a file, or none of them.

    Their order decides, not their names, for Keras counts layers of a kind through a
    process.

    Args:
        path: the file, for the error.
        arrays: what it holds.
        variables: as `by_name` gives them.

    Raises:
        ModelError: if number, shapes or types are others.
    """
    values = [array for _, array in sorted(arrays.items())]
    pairs = list(zip(variables.items(), values, strict=False))
    for (name, variable), value in pairs:
        expected, found = (variable.shape, variable.dtype), (value.shape, value.dtype)
        if (tuple(expected[0]), str(expected[1])) != (found[0], str(found[1])):
            raise ModelError(
                f"{path} is of another model or optimizer: {name} is {expected[1]} "
                f"{tuple(expected[0])} here, {found[1]} {found[0]} there."
            )
    if len(values) != len(variables):
        raise ModelError(
            f"{path} is of another model or optimizer: it has {len(values)} variables, "
            f"this one {len(variables)}."
        )
    for (_, variable), value in pairs:
        variable.assign(value)
