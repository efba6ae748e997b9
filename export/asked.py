"""What a request to the server asks for: a stranger's query and body, as arrays."""

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from export.limits import Refused
from keras_vae.distributions.portable_noise import MAX_SEED
from keras_vae.errors import UsageError, number, shown, unknown, whole_number

NPY = "application/x-npy"


def known(given: Iterable[str], names: Sequence[str], kind: str) -> None:
    """Refuses a name that is none of those that are known, with the nearest one.

    Raises:
        Refused: With status 422.
    """
    for name in given:
        if name not in names:
            raise Refused(422, str(unknown(kind, name, names)))


def whole(query: Mapping[str, str], name: str, default: Any = None, **bounds) -> Any:
    """A whole number of a query, or the default.

    Raises:
        Refused: With status 400 if it is no number, 422 if it is out of range.
    """
    return _read(query, name, default, int, whole_number, "a whole number", bounds)


def real(query: Mapping[str, str], name: str, default: float, **bounds) -> float:
    """A number of a query, or the default; refused as by `whole`."""
    return _read(query, name, default, float, number, "a number", bounds)


def _read(query, name, default, kind, check, what, bounds):
    if name not in query:
        return default
    try:
        return check(name, kind(query[name]), **bounds)
    except UsageError as error:
        raise Refused(422, str(error)) from None
    except ValueError:
        sentence = f"{name} must be {what}; got {shown(query[name])}."
        raise Refused(400, sentence) from None


def seed(query: Mapping[str, str]) -> int:
    """The seed of a query; 0 is the default."""
    return whole(query, "seed", 0, minimum=0, maximum=MAX_SEED - 1)


def latents(body: bytes, latent_dim: int) -> tuple[np.ndarray, list | None]:
    """The latents of a JSON body, {"z": [[...], ...], "label": [...]}.

    Args:
        body: Of the request.
        latent_dim: D.

    Returns:
        float32 (N, D), and the labels as they came, whole numbers, or None.

    Raises:
        Refused: With status 400 if it is no such JSON, 422 if a number is none.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, 'The body must be JSON, {"z": [[...], ...]}.') from None
    if type(asked) is not dict or "z" not in asked:
        raise Refused(400, 'The body must be an object, {"z": [[...], ...]}.')
    known(asked, ("z", "label"), "key of the body")
    rows, labels = asked["z"], asked.get("label")
    if type(rows) is not list or not all(type(row) is list for row in rows):
        raise Refused(422, "z must be a list of lists of numbers, one for each image.")
    if wrong := [len(row) for row in rows if len(row) != latent_dim]:
        raise Refused(
            422, f"Each list of z must hold {latent_dim} numbers; one holds {wrong[0]}."
        )
    if not all(type(x) in (int, float) for row in rows for x in row):
        raise Refused(422, "z must hold numbers alone.")
    if labels is not None and (
        type(labels) is not list or not all(type(label) is int for label in labels)
    ):
        raise Refused(422, "label must be a list of whole numbers, one for each image.")
    try:
        z = np.array(rows, np.float64).reshape(len(rows), latent_dim)
    except OverflowError:  # a whole number of hundreds of digits
        z = np.full((len(rows), latent_dim), math.inf)
    return _checked(z), labels


def latents_of_npy(body: bytes, latent_dim: int) -> np.ndarray:
    """The latents of a body that is a NumPy file, float32 or float64 (N, D).

    Its header is a stranger's: nothing is allocated that it claims.

    Raises:
        Refused: With status 400 if it is no such file, 422 if it holds other shapes.
    """
    file = io.BytesIO(body)
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("another version")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception:  # what the header's parser raises is not one class
        raise Refused(
            400, "The body must be a NumPy file, as np.save writes."
        ) from None
    if fortran or dtype not in (np.dtype("<f4"), np.dtype("<f8")):
        raise Refused(422, "The file must hold float32 or float64 in C order.")
    if len(shape) != 2 or shape[1] != latent_dim:
        shape = " x ".join(map(str, shape[:8]))
        raise Refused(422, f"z must have the shape N x {latent_dim}; got {shape}.")
    data = body[file.tell() :]
    if len(data) != shape[0] * shape[1] * dtype.itemsize:
        raise Refused(400, "The file does not hold as many numbers as it says.")
    return _checked(np.frombuffer(data, dtype).reshape(shape).astype(np.float64))


def _checked(z):
    with np.errstate(over="ignore"):
        z = z.astype(np.float32)
    if not len(z):
        raise Refused(422, "z must hold one list of numbers or more.")
    if not np.isfinite(z).all():
        raise Refused(422, "z must hold finite float32 numbers.")
    return z


def checked_labels(labels: list, num_images: int, num_classes: int | None):
    """The labels of a body, int64 (N,).

    Raises:
        Refused: With status 422.
    """
    if num_classes is None:
        raise Refused(422, "This decoder takes no label; leave it out.")
    if len(labels) != num_images or not all(0 <= n < num_classes for n in labels):
        raise Refused(
            422,
            f"label must hold {num_images} numbers in [0, {num_classes}), one for each "
            "image.",
        )
    return np.array(labels, np.int64)
