"""From arrays as they lie on disk to checked uint8 images and int64 labels.

Whoever reads a source may rely on what leaves this module: images are uint8
(N, H, W, C) with N >= 1 and 1 to 4 channels, labels are int64 (N,) and >= 0. What is
passed to `fit` is checked in `keras_vae.data.batches`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from keras_vae.data.splits import ArraySplit
from keras_vae.data.stored_split import StoredSplit
from keras_vae.errors import DataError

CHUNK_VALUES = 2**22  # values checked at once: bounds the temporaries to tens of MB
# What nobody trains on, and what would take much memory beside the images:
MAX_IMAGES = 2**24
MAX_VALUES = 2**26  # of an image
MAX_CLASSES = 2**16


@dataclass(frozen=True, eq=False)
class RawSplit:
    """One split as its file holds it, not yet checked.

    Attributes:
        images: Any array.
        labels: Any array, or `None`.
        where: What error messages call it, e.g. the path of the file.
    """

    images: np.ndarray
    labels: np.ndarray | None
    where: str


@dataclass(frozen=True, eq=False)
class RawSource:
    """What the reader of a source returns.

    Attributes:
        name: Short name of the data set.
        origin: Where it came from, the beginning of a sentence.
        splits: `"train"`, and `"validation"` and `"test"` where the source has them,
            checked against each other.
        class_names: Names of the classes 0, 1, ..., where they are known.
        found: What was found in a folder, in sentences; `None` elsewhere.
        factor_names: Names of the factors of the images, where the splits have those.
    """

    name: str
    origin: str
    splits: dict[str, ArraySplit] | dict[str, StoredSplit]
    class_names: tuple[str, ...] | None = None
    found: str | None = None
    factor_names: tuple[str, ...] | None = None


def to_splits(raw: dict[str, RawSplit]) -> dict[str, ArraySplit]:
    """Checks the splits of one source, each alone and against each other.

    Args:
        raw: The splits as read, by name.

    Returns:
        The same names with uint8 images (N, H, W, C) and int64 labels (N,).

    Raises:
        DataError: If an array breaks the rules of `to_uint8` or `to_labels`, or if the
            splits differ in image size, in scale, or in having labels.
    """
    splits, scales = {}, {}
    for name, part in raw.items():
        images, scales[name] = to_uint8(part.images, part.where)
        labels = part.labels
        if labels is not None:
            labels = to_labels(labels, len(images), part.where)
        splits[name] = ArraySplit(images, labels)

    first = next(iter(raw))
    for name, part in raw.items():
        for what, one, other in (
            ("size", splits[first].images.shape[1:], splits[name].images.shape[1:]),
            ("scale", scales[first], scales[name]),
            ("labels", *(splits[n].labels is not None for n in (first, name))),
        ):
            if one != other:
                raise DataError(
                    f"{part.where}: the {name} images differ from the {first} images in"
                    f" {what} ({other} against {one}); make them alike."
                )
    return splits


def to_uint8(images: np.ndarray, where: str) -> tuple[np.ndarray, str]:
    """Checks images and brings them to uint8 on the scale 0 (black) to 255 (white).

    uint8 stays as it is. Other integers in [0, 255] are cast. Booleans become 0 and
    255. Floats up to 1 are multiplied by 255 and rounded; floats beyond 1 must be whole
    numbers in [0, 255] and are cast. Integers that never exceed 1 are refused: on the
    scale of 255 they would train, silently, on black images.

    Args:
        images: Numbers, (N, H, W) or (N, H, W, C) with 1 to 4 channels.
        where: What error messages call the images.

    Returns:
        uint8 (N, H, W, C), and the scale found: `"0..255"`, `"0..1"` or `"boolean"`.

    Raises:
        DataError: If the dtype, the rank or a value is outside the rules above. Names
            the first bad image.
    """
    if images.dtype.kind not in "buif":
        raise DataError(
            f"{where}: the images have dtype {images.dtype}; expected uint8, or floats"
            " in [0, 1]."
        )
    if images.ndim == 3:
        images = images[..., None]  # (N, H, W) -> (N, H, W, 1)
    if images.ndim != 4:
        raise DataError(
            f"{where}: the images have shape {images.shape}; expected (N, H, W) or"
            " (N, H, W, C), so reshape them before saving."
        )
    if images.size == 0:
        raise DataError(f"{where}: no pixels, the shape is {images.shape}.")
    if len(images) > MAX_IMAGES or images[0].size > MAX_VALUES:
        raise DataError(
            f"{where}: the shape is {images.shape}; expected at most {MAX_IMAGES:,}"
            f" images of {MAX_VALUES:,} values."
        )
    if images.shape[3] > 4:
        raise DataError(
            f"{where}: images of shape {images.shape} would have {images.shape[3]}"
            " channels; expected 1 to 4, with the channels last."
        )

    if images.dtype == bool:
        result = images.astype(np.uint8)
        result *= np.uint8(255)
        return result, "boolean"
    peak, fraction = 0.0, None  # largest value; first image with a fractional one
    for start, chunk in _chunks(images):
        valid = (chunk >= 0) & (chunk <= 255)  # False for NaN
        if not valid.all():
            index, *pixel = np.argwhere(~valid)[0]
            raise DataError(
                f"{where}: image {start + index} holds {chunk[index, *pixel]}; expected"
                " floats in [0, 1] or whole numbers in [0, 255]. Rescale or remove it."
            )
        peak = max(peak, float(chunk.max()))
        if fraction is None and images.dtype.kind == "f":
            fractional = (chunk != np.floor(chunk)).any(axis=(1, 2, 3))  # (chunk,)
            if fractional.any():
                fraction = start + int(fractional.argmax())

    if images.dtype.kind == "f" and peak <= 1:
        result = np.empty(images.shape, np.uint8)
        wide = np.result_type(images, np.float32)  # float16 would round twice
        for start, chunk in _chunks(images):
            levels = np.multiply(chunk, 255.0, dtype=wide)
            result[start : start + len(chunk)] = np.rint(levels)
        return result, "0..1"
    if fraction is not None:
        raise DataError(
            f"{where}: image {fraction} holds fractions, yet the largest value is"
            f" {peak:g}; expected floats in [0, 1] or whole numbers in [0, 255]."
        )
    if peak == 1:
        raise DataError(
            f"{where}: the largest of these integers is 1, and integers are read on the"
            " scale 0 to 255; save black-and-white images as booleans or floats."
        )
    return np.ascontiguousarray(images, np.uint8), "0..255"


def to_labels(labels: np.ndarray, num_images: int, where: str) -> np.ndarray:
    """Checks labels and brings them to int64 (N,).

    Args:
        labels: Whole numbers in [0, 65536), (N,) or (N, 1).
        num_images: N, the number of images they belong to.
        where: What error messages call the data.

    Returns:
        int64 (N,).

    Raises:
        DataError: If there are more or fewer labels than images, or if one is not a
            class number.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "buif" or labels.ndim != 1:
        raise DataError(
            f"{where}: the labels have dtype {labels.dtype} and shape {labels.shape};"
            " expected one class number for each image, shape (N,)."
        )
    if len(labels) != num_images:
        raise DataError(
            f"{where}: {len(labels)} labels for {num_images} images; expected one for"
            " each."
        )
    # False for NaN; a Python int would be cast to float16, which ends before
    valid = (labels >= 0) & (labels < np.float64(MAX_CLASSES))
    classes = np.where(valid, labels, 0).astype(np.int64)
    valid &= classes == labels
    if not valid.all():
        index = int(valid.argmin())
        raise DataError(
            f"{where}: the label of image {index} is {labels[index]}; expected class"
            f" numbers 0, 1, 2, and so on, below {MAX_CLASSES:,}."
        )
    return classes


def _chunks(images: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    step = max(1, CHUNK_VALUES // images[0].size)
    for start in range(0, len(images), step):
        yield start, images[start : start + step]
