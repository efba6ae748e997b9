"""What images and labels must be, wherever they come from.

Arrays are checked here; `keras_vae.data.streams` holds batches to the same rules.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_vae.errors import DataError, UsageError, first_line, shown, unknown

NO_LABEL = "A conditional VAE needs a label for each image; got none."


class ImageSpec(NamedTuple):
    """What a model takes.

    Args:
        image_shape: (H, W, C).
        num_classes: int, or None for a model without labels.
    """

    image_shape: tuple[int, int, int]
    num_classes: int | None = None


def checked_arrays(x, y, spec: ImageSpec) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels that a model can take.

    Args:
        x: Images (N, H, W, C), (N, H, W) where C = 1, or flat (N, H * W * C), as
            uint8, other integers in [0, 255], floats in [0, 1], or bool.
        y: int (N,), or None for a model without labels.
        spec: What the model takes.

    Returns:
        uint8 or float32 (N, H, W, C), and int64 (N,), zeros where the model has no use
        for labels.

    Raises:
        DataError: If shapes or values break these rules.
        UsageError: If a conditional model gets no labels.
    """
    try:
        images = np.asarray(x)
    except ValueError as error:  # a list of images of several shapes
        raise DataError(f"Expected images of one shape: {error}") from error
    check_shape(images.shape, spec.image_shape)
    if images.dtype == bool:
        images = np.uint8(255) * images
    if images.dtype != np.uint8:
        dtype = images.dtype.name
        highest = highest_pixel(dtype)
        check_pixels(images, dtype)
        images = images.astype("float32" if highest == 1 else "uint8", copy=False)
    images = images.reshape(-1, *spec.image_shape)
    return images, checked_labels(y, len(images), spec)


def check_scale(x) -> None:
    """Refuses all images of a training as integers of which the largest is 1.

    Raises:
        DataError: With what to do.
    """
    try:
        images = np.asarray(x)
    except ValueError:  # images of several shapes: `checked_arrays` says so
        return
    if images.dtype.kind in "iu" and images.size and images.max() == 1:
        raise DataError(
            "The largest of these integers is 1, and integers are read on the scale 0 "
            "to 255; pass black-and-white images as booleans or floats."
        )


def checked_labels(y, number: int, spec: ImageSpec) -> np.ndarray:
    """Labels int64 (number,); see `checked_arrays`."""
    if spec.num_classes is None:
        return np.zeros(number, np.int64)
    if y is None:
        raise UsageError(NO_LABEL)
    labels = np.asarray(y).reshape(-1)
    check_labels(labels, number, spec.num_classes)
    return labels.astype(np.int64)


def labels_in_turn(label, number: int, num_classes: int | None) -> np.ndarray:
    """Labels (number,) to generate: those given, one for all, or all classes in turn.

    Raises:
        UsageError: If there is a label and the model takes none, or labels do not fit.
    """
    if label is None:
        label = np.arange(number) % (num_classes or 1)
    elif num_classes is None:
        raise UsageError("This model is not conditional; leave the label out.")
    elif np.shape(label) not in ((), (number,)):
        raise UsageError(
            f"Expected one label, or {number}, one for each image; got labels of shape "
            f"{np.shape(label)}."
        )
    return np.broadcast_to(label, number)


def class_number(
    label: int | str, num_classes: int, class_names: Sequence[str] | None = None
) -> int:
    """The number of a class, which is given by that number or by name.

    A text is first looked up as a name, so that of the folders "1", "2", "3" the one
    called "1" is meant by "1", and class 1 by 1.

    Args:
        label: What a person gave.
        num_classes: How many classes there are.
        class_names: Their names from class 0 on, where they are known.

    Raises:
        UsageError: If there is no such class.

    Example:
        >>> class_number("dogs", 2, ["cats", "dogs"]), class_number("0", 2)
        (1, 0)
    """
    names = list(class_names or ())
    try:
        number = names.index(label) if label in names else int(label)
    except ValueError:
        if names:
            raise unknown("class", label, names) from None
        number = -1
    if not 0 <= number < num_classes:
        raise UsageError(
            f"The label must be a class from 0 to {num_classes - 1}"
            f"{' or its name' if names else ''}; got {shown(label)}."
        )
    return number


def checked_weights(sample_weight, number: int) -> np.ndarray:
    """Weights float32 (number,), one for each image."""
    try:
        weight = np.asarray(sample_weight, np.float32).reshape(-1)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"Expected sample weights as numbers: {first_line(error)}."
        ) from error
    check_weights(weight, number)
    return weight


def check_weights(weight: np.ndarray, number) -> None:
    """Refuses weights that are not one for each image, finite and >= 0."""
    if len(weight) != number:
        raise DataError(
            f"Expected {number} sample weights, one for each image; got {len(weight)}."
        )
    usable = (weight >= 0) & (weight < np.inf)  # False for NaN
    if not usable.all():
        index = int(usable.argmin())
        raise DataError(
            f"Expected sample weights that are finite and >= 0; got {weight[index]} "
            f"for image {index}."
        )


def check_label_dtype(dtype: str, num_classes) -> None:
    """Refuses labels that are no numbers."""
    if dtype.rstrip("0123456789") not in ("int", "uint", "float", "bfloat", "bool"):
        raise DataError(
            f"Expected labels that are class numbers from 0 to {num_classes - 1}; got "
            f"{dtype}."
        )


def check_labels(labels: np.ndarray, number, num_classes) -> None:
    """Refuses labels that are not one class number for each image."""
    check_label_dtype(labels.dtype.name, num_classes)
    if len(labels) != number:
        raise DataError(
            f"Expected {number} labels, one for each image; got {len(labels)}."
        )
    usable = np.isin(labels, range(num_classes))
    if not usable.all():
        index = int(usable.argmin())
        raise DataError(
            f"Expected labels that are class numbers from 0 to {num_classes - 1}; got "
            f"{labels[index]} for image {index}."
        )


def highest_pixel(dtype: str) -> int:
    """What stands for white in images of a dtype: 1 for floats, 255 for integers.

    Raises:
        DataError: If pixels cannot be of that dtype.
    """
    kind = dtype.rstrip("0123456789")
    if kind in ("float", "bfloat"):
        return 1
    if kind in ("int", "uint"):
        return 255
    raise DataError(f"Expected pixels as uint8, or as floats in [0, 1]; got {dtype}.")


def check_pixels(images: np.ndarray, dtype: str, where: str = "") -> None:
    """Refuses pixels beyond black and white, and NaN.

    Args:
        images: Numbers (N, ...).
        dtype: Of the pixels as they came.
        where: The images are, e.g. `" of batch 3"`.
    """
    highest = highest_pixel(dtype)
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= highest):  # also refuses NaN
        bad = ~((images >= 0) & (images <= highest))
        index = int(bad.reshape(len(bad), -1).any(axis=1).argmax())
        mend = ""
        if highest == 1 and low >= 0 and 2 < high <= 255:
            mend = (
                " Those of keras.utils.image_dataset_from_directory are on the scale of"
                " 255: data.map(lambda x, *y: (x / 255, *y))."
            )
        raise DataError(
            f"Expected {dtype} pixels in [0, {highest}]; got values from {low} to "
            f"{high}, first in image {index}{where}. Scale the images, or pass uint8."
            f"{mend}"
        )


def shapes_of(image_shape) -> list[tuple[int, ...]]:
    """The shapes in which an image may come: with its channels, without one, flat."""
    height, width, channels = image_shape
    shapes = [tuple(image_shape), (height * width * channels,)]
    return [*shapes, (height, width)] if channels == 1 else shapes


def check_shape(shape, image_shape) -> None:
    """Refuses what is not a batch of images.

    Args:
        shape: (N, ...), where N may be None.
        image_shape: (H, W, C).
    """
    shape = tuple(shape)
    fitting = shapes_of(image_shape)
    if len(shape) > 1 and shape[0] != 0 and shape[1:] in fitting:
        return
    height, width, channels = image_shape
    mend = ""
    if shape[1:] == (channels, height, width):
        mend = " These have the channels first: pass np.moveaxis(images, 1, -1)."
    elif shape in fitting:
        mend = " This is a single image: pass images[None], or batch the data set."
    raise DataError(
        f"Expected images of shape (N, {height}, {width}, {channels}) with N >= 1; got "
        f"{shape}.{mend}"
    )


def of_dict(x):
    """Images and labels of a dict as tensorflow-datasets gives them."""
    if "image" not in x:
        raise DataError(
            f"Expected a dict with the key 'image', and 'label' where there are labels;"
            f" got the keys {', '.join(map(repr, x)) or 'of none'}."
        )
    return x["image"], x.get("label")
