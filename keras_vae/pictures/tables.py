"""Tables of images with headings: numpy arrays in, PNG or GIF out. No TensorFlow."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_vae.pictures.grids import (
    GAP,
    as_picture,
    image_grid,
    save_gif,
    save_png,
    to_uint8,
)

TABLE_WIDTH = 1280  # tables are enlarged up to this
IMAGE_WIDTH = 112  # ... but not where images are that wide,
SMALLEST_WIDTH = 336  # ... unless the table is narrower than this
MARGIN = 12  # pixels around labels


def labeled_grid(
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
        uint8 (height, width, C) on a white ground, of color where C is not 1.
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

    def picture(self) -> Image.Image:
        """The table as a picture, which a notebook shows by itself."""
        return as_picture(self._grid())

    def save(self, output: Path) -> None:
        """Writes a PNG table, or a GIF with a frame for each column."""
        if output.suffix.lower() == ".gif":
            frames = [
                labeled_grid(
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
        save_png(self._grid(), output, enlarge=False)

    def _grid(self):
        images, columns = to_uint8(self.images), self.columns
        if self.before:
            name, first = self.before
            images = np.concatenate([to_uint8(first)[:, None], images], axis=1)
            columns = [name, *columns]
        if self.after:
            name, last = self.after
            images = np.concatenate([images, to_uint8(last)[:, None]], axis=1)
            columns = [*columns, name]
        return labeled_grid(
            images,
            rows=self.rows,
            columns=columns,
            title=self.title,
            caption=self.caption,
        )
