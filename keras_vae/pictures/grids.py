"""Grids of images: numpy arrays in, PNG or GIF out. No TensorFlow."""

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from keras_vae.errors import OutputError, UsageError, diverged
from keras_vae.files import check_file, replaced

OURS = "keras_vae"  # in each picture: the program that may replace it
GAP = 2  # pixels between images, before enlargement
TARGET_WIDTH = 960  # small grids are enlarged by a whole factor up to about this


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Lays images out in rows, left to right, top to bottom, with thin white lines.

    Args:
        images: (N, H, W, C), uint8, or float in [0, 1]; C is 1 or 3.
        columns: images in a row; default: about as many as rows.

    Returns:
        uint8 (rows * (H + 2) - 2, columns * (W + 2) - 2, C).

    Raises:
        ValueError: if there is no image, or `images` does not have four axes.

    Example:
        >>> image_grid(np.zeros((6, 28, 28, 1), np.uint8), columns=3).shape
        (58, 88, 1)
    """
    if images.ndim != 4 or not len(images):
        raise ValueError(
            "Expected images of shape (N, H, W, C) with N >= 1; "
            f"got {images.shape}. Add the missing axis."
        )
    number, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(number))
    rows = math.ceil(number / columns)
    grid = np.full(
        (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels),
        255,
        np.uint8,
    )
    for index, image in enumerate(to_uint8(images)):
        top = index // columns * (height + GAP)
        left = index % columns * (width + GAP)
        grid[top : top + height, left : left + width] = image
    return grid


def columns_of_classes(num_classes: int | None) -> int | None:
    """The columns of a grid that takes all classes in turn: one a class, up to 20.

    Args:
        num_classes: int, or None for images without classes.

    Returns:
        int; None, for `image_grid` to choose.

    Example:
        >>> columns_of_classes(10), columns_of_classes(1000), columns_of_classes(None)
        (10, None, None)
    """
    return num_classes if num_classes and 1 < num_classes <= 20 else None


def picture(images: np.ndarray, columns: int | None = None) -> Image.Image:
    """A grid of images as a picture, which a notebook shows by itself.

    Args:
        images: (N, H, W, C), uint8, or float in [0, 1]; C is 1 or 3.
        columns: images in a row; default: about as many as rows.

    Returns:
        A PIL image, enlarged by a whole factor where it is small.

    Example:
        >>> picture(np.zeros((6, 28, 28, 1), np.uint8), columns=3).size
        (880, 580)
    """
    return as_picture(_enlarged(image_grid(images, columns)))


def pair_grid(
    lefts: np.ndarray, rights: np.ndarray, columns: int | None = None
) -> np.ndarray:
    """Lays pairs of images out in rows: in each pair left the one, right the other.

    Args:
        lefts: (N, H, W, C), uint8, or float in [0, 1]; the inputs.
        rights: of the same shape; the reconstructions.
        columns: pairs in a row; default: about as many as rows.

    Returns:
        uint8 grid of N pairs, a pair's two images without a line between them.
    """
    return image_grid(
        np.concatenate([to_uint8(lefts), to_uint8(rights)], axis=2), columns
    )


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Grey levels 0 to 255, rounded half to even; float pixels are taken as [0, 1].

    Raises:
        DivergedError: If a pixel is NaN.
    """
    if images.dtype == np.uint8:
        return images
    if np.isnan(images).any():
        raise diverged("A pixel of the model's images", np.nan)
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def check_picture(path: Path, kinds: Sequence[str] = (".png",)) -> None:
    """Refuses what can be the path of no picture to write, and somebody's file.

    A picture that is there already is replaced only if this program made it, which is
    written in it.

    Args:
        path: A file that need not exist.
        kinds: The endings that it may have.

    Raises:
        UsageError: If it ends in another way, or as `check_file`.
        OutputError: As `check_file`, or if there is a file that is not ours.
    """
    if path.suffix.lower() not in kinds:
        raise UsageError(f"The output must end in {' or '.join(kinds)}; got {path}.")
    check_file(path)
    if os.path.lexists(path) and not _is_ours(path):
        raise OutputError(
            f"The output {path} exists, and is no picture of this program; choose "
            "another --output, or remove it."
        )


def _is_ours(path):
    try:
        with Image.open(path, formats=("PNG", "GIF")) as found:
            facts = found.info
    except Exception:  # a stranger's file: anything may be wrong with it
        return False
    return facts.get("Software") == OURS or facts.get("comment") == OURS.encode()


def save_png(array: np.ndarray, path: Path | str, *, enlarge: bool = True) -> None:
    """Writes a picture, enlarged by a whole factor where it is small.

    Args:
        array: uint8 (H, W, 1) or (H, W, 3).
        path: where to; the file appears whole or not at all.
        enlarge: whether to.

    Raises:
        OutputError: if it cannot be written.
    """
    with replaced(Path(path)) as temporary:
        temporary.write_bytes(png(array, enlarge=enlarge))


def png(array: np.ndarray, *, enlarge: bool = True) -> bytes:
    """A picture as a PNG file holds it; see `save_png`."""
    file = io.BytesIO()
    facts = PngInfo()
    facts.add_text("Software", OURS)
    picture = as_picture(_enlarged(array) if enlarge else array)
    picture.save(file, format="PNG", pnginfo=facts)
    return file.getvalue()


def save_gif(frames: Sequence[np.ndarray], path: Path | str, seconds=0.1) -> None:
    """Writes an animation that goes forth and back, again and again.

    It rests at its ends for five frames' time.

    Args:
        frames: F >= 1 pictures, uint8 (H, W, 1) or (H, W, 3) each, of one size.
        path: where to; the file appears whole or not at all.
        seconds: how long a frame is shown.

    Raises:
        OutputError: if it cannot be written.
    """
    last = len(frames) - 1
    order = [*range(last + 1), *range(last - 1, 0, -1)]
    first, *others = (as_picture(frames[index]) for index in order)
    durations = [1000 * seconds * (5 if k in (0, last) else 1) for k in order]
    with replaced(Path(path)) as temporary:
        first.save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=durations,
            loop=0,
            comment=OURS.encode(),
        )


def _enlarged(array):
    factor = max(1, TARGET_WIDTH // array.shape[1])
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def as_picture(array: np.ndarray) -> Image.Image:
    """An array, uint8 (H, W, 1) or (H, W, 3), as a PIL image."""
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
