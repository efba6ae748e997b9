"""Pictures made of images: numpy arrays in, PNG or GIF out. No TensorFlow."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_vae.files import replaced

GAP = 2  # pixels between images, before enlargement
TARGET_WIDTH = 960  # small grids are enlarged by a whole factor up to about this
TABLE_WIDTH = 1280  # tables are enlarged up to this
IMAGE_WIDTH = 112  # ... but not where images are that wide,
SMALLEST_WIDTH = 336  # ... unless the table is narrower than this
MARGIN = 12  # pixels around labels


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
    """Grey levels 0 to 255, rounded half to even; float pixels are taken as [0, 1]."""
    if images.dtype == np.uint8:
        return images
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def labelled_grid(
    images: np.ndarray,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    title: str = "",
    caption: str = "",
) -> np.ndarray:
    """Lays images out as a table with headings, enlarged by a whole factor.

    Args:
        images: (R, V, H, W, C), uint8, or float in [0, 1].
        rows: R names, to the left; none if empty.
        columns: V names, above; none if empty.
        title: A sentence at the top.
        caption: A sentence below.

    Returns:
        uint8 (height, width, C) on a white ground, of colour where C is not 1.
    """
    number, across, _, width, channels = images.shape
    grid = image_grid(images.reshape(-1, *images.shape[2:]), across)
    wanted = max(IMAGE_WIDTH // width, SMALLEST_WIDTH // grid.shape[1])
    factor = max(1, min(TABLE_WIDTH // grid.shape[1], wanted))
    grid = grid.repeat(factor, axis=0).repeat(factor, axis=1)
    body = Image.fromarray(grid[..., 0] if channels == 1 else grid)
    mode = "L" if channels == 1 else "RGB"

    small, large = ImageFont.load_default(14), ImageFont.load_default(16)
    left, line = MARGIN, 22  # pixels
    if any(rows):
        left += round(max(small.getlength(name) for name in rows)) + MARGIN
    top = MARGIN + line * (bool(title) + any(columns))
    wide = max(
        left + body.width + MARGIN,
        round(large.getlength(title)) + 2 * MARGIN,
        left + round(small.getlength(caption)) + MARGIN,
    )
    high = top + body.height + MARGIN + line * bool(caption)
    picture = Image.new(mode, (wide, high), "white")
    picture.paste(body.convert(mode), (left, top))
    draw = ImageDraw.Draw(picture)

    def write(position, text, anchor, font=small):
        draw.text(position, text, "black", font=font, anchor=anchor)

    write((MARGIN, MARGIN), title, "la", large)
    for index, name in enumerate(rows):
        middle = top + (index + 0.5) * (body.height + GAP * factor) / number
        write((left - MARGIN, middle - GAP * factor / 2), name, "rm")
    for index, name in enumerate(columns):
        middle = left + (index + 0.5) * (body.width + GAP * factor) / across
        write((middle - GAP * factor / 2, top - 5), name, "ms")
    write((left + body.width / 2, high - MARGIN), caption, "ms")
    array = np.asarray(picture)
    return array[..., None] if mode == "L" else array


def save_png(array: np.ndarray, path: Path | str, *, enlarge: bool = True) -> None:
    """Writes a picture, enlarged by a whole factor where it is small.

    Args:
        array: uint8 (H, W, 1) or (H, W, 3).
        path: where to; the file appears whole or not at all.
        enlarge: whether to.

    Raises:
        OSError: if it cannot be written.
    """
    factor = max(1, TARGET_WIDTH // array.shape[1]) if enlarge else 1
    array = array.repeat(factor, axis=0).repeat(factor, axis=1)
    with replaced(Path(path)) as temporary:
        _picture(array).save(temporary, format="PNG")


def save_gif(frames: Sequence[np.ndarray], path: Path | str, seconds=0.1) -> None:
    """Writes an animation that goes forth and back, again and again.

    It rests at its ends for five frames' time.

    Args:
        frames: F >= 1 pictures, uint8 (H, W, 1) or (H, W, 3) each, of one size.
        path: where to; the file appears whole or not at all.
        seconds: how long a frame is shown.

    Raises:
        OSError: if it cannot be written.
    """
    last = len(frames) - 1
    order = [*range(last + 1), *range(last - 1, 0, -1)]
    first, *others = (_picture(frames[index]) for index in order)
    durations = [1000 * seconds * (5 if k in (0, last) else 1) for k in order]
    with replaced(Path(path)) as temporary:
        first.save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=durations,
            loop=0,
        )


def _picture(array):
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


@dataclasses.dataclass(frozen=True)
class Table:
    """Images in rows and columns, with headings: a PNG, or a GIF, frame by frame.

    Attributes:
        images: (R, V, H, W, C), uint8, or float in [0, 1].
        rows: R names.
        columns: V names.
        title: A sentence.
        caption: What the names of the columns are.
        before: A name, and R images to the left of the first column, or None.
        after: A name, and R images to the right of the last column, or None.
    """

    images: np.ndarray
    rows: list[str]
    columns: list[str]
    title: str
    caption: str
    before: tuple[str, np.ndarray] | None = None
    after: tuple[str, np.ndarray] | None = None

    def save(self, output: Path) -> None:
        """Writes a PNG table, or a GIF with a frame for each column."""
        if output.suffix.lower() == ".gif":
            frames = [
                labelled_grid(
                    self.images[:, k][None],
                    columns=self.rows,
                    title=self.title,
                    caption=f"{self.caption}: {name}",
                )
                for k, name in enumerate(self.columns)
            ]
            widest = max(frame.shape[1] for frame in frames)  # by its caption
            save_gif(
                [
                    np.pad(
                        frame,
                        ((0, 0), (0, widest - frame.shape[1]), (0, 0)),
                        constant_values=255,
                    )
                    for frame in frames
                ],
                output,
            )
            return
        images, columns = to_uint8(self.images), self.columns
        if self.before:
            name, first = self.before
            images = np.concatenate([to_uint8(first)[:, None], images], axis=1)
            columns = [name, *columns]
        if self.after:
            name, last = self.after
            images = np.concatenate([images, to_uint8(last)[:, None]], axis=1)
            columns = [*columns, name]
        grid = labelled_grid(
            images,
            rows=self.rows,
            columns=columns,
            title=self.title,
            caption=self.caption,
        )
        save_png(grid, output, enlarge=False)
