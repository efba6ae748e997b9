"""One image file that nobody has vouched for -> uint8 (H, W, C), by Pillow.

What a file declares is checked before anything is decoded. A conversion says what to do
with what is not 8-bit grey or color of the size wanted:

- 16-bit grey is divided by 257 and rounded; of 16-bit color the high byte counts.
- A palette gives way to its colors; CMYK to (1 - C)(1 - K) and so on.
- Transparent pixels are laid over the background.
- A photograph is turned as its EXIF orientation says; color profiles are ignored.
- Of an animation the first frame is taken.
- Grey comes of color as 0.299 R + 0.587 G + 0.114 B.
- Resizing is bicubic and antialiased, after all that.
"""

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageColor, ImageOps, UnidentifiedImageError

from keras_vae.errors import (
    DataError,
    UsageError,
    first_line,
    number,
    on_one_line,
    shown,
    unknown,
    whole_number,
)

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif")
MAX_SIDE = 4096  # of the images that come out
MOST_MEGAPIXELS = 89  # beyond it Pillow itself refuses
MEGA = 1_000_000
BICUBIC = Image.Resampling.BICUBIC

RESIZE = ("crop", "pad", "stretch")

TURNED = {  # EXIF orientation -> what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """How image files become arrays of one shape.

    Args:
        image_size: int H, or (H, W), of every image; None where all have one size.
        resize: `"crop"` scales an image until it covers that size and cuts off what is
            over, `"pad"` until it fits in, with the background around it, and
            `"stretch"` changes its proportions.
        channels: 1 for grey, 3 for color; None is 1 where all images are grey.
        background: What shows through transparent pixels, and around padded images: a
            color as CSS writes it, `"white"` or `"#808080"`.
        max_megapixels: int, the million pixels that a file may have; none with more is
            decoded.
        skip_broken: bool, whether to go on without files that cannot be read.
        memory_budget: float, gigabytes of pixels to hold in memory at most; beyond
            that they are read when they are needed. None: a quarter of the machine's.
        cache: A folder to keep the decoded images in, for this run and later ones.

    Raises:
        UsageError: If one is out of range.
    """

    image_size: Any = None  # (H, W), once checked
    resize: str = "crop"
    channels: int | None = None
    background: str = "white"
    max_megapixels: int = 16
    skip_broken: bool = False
    memory_budget: float | None = None
    cache: str | os.PathLike | None = None

    def __post_init__(self):
        size = self.image_size
        if size is not None:
            sides = list(size) if isinstance(size, Iterable) else [size]
            if not 1 <= len(sides) <= 2:
                raise UsageError(
                    "image_size must be a height, or a height and a width; got "
                    f"{shown(size)}."
                )
            sides = [whole_number("image_size", side, 1, MAX_SIDE) for side in sides]
            object.__setattr__(self, "image_size", (sides[0], sides[-1]))
        if self.resize not in RESIZE:
            raise unknown("resize", self.resize, RESIZE)
        if self.channels not in (None, 1, 3):
            raise UsageError(f"channels must be 1 or 3; got {shown(self.channels)}.")
        if self.channels is not None:
            object.__setattr__(self, "channels", int(self.channels))
        whole_number("max_megapixels", self.max_megapixels, 1, MOST_MEGAPIXELS)
        if self.memory_budget is not None:
            number("memory_budget", self.memory_budget)
        if self.cache == "":
            raise UsageError("cache must be a folder; got ''.")
        if not _is_color(self.background):
            raise UsageError(
                "background must be a color such as white or '#808080'; got "
                f"{shown(self.background)}."
            )

    def check_unused(self, name: str) -> None:
        """Refuses what was asked for where there are no image files to ask it of.

        Args:
            name: Of the data set.
        """
        for field in dataclasses.fields(self):
            if getattr(self, field.name) != field.default:
                raise UsageError(
                    f"{field.name} is for a folder of images; {name} is none: leave "
                    "that option out, or give such a folder as the dataset."
                )


def _is_color(text):
    try:
        return len(ImageColor.getrgb(text)) == 3  # four are one with transparency
    except (ValueError, TypeError):
        return False


class Header(NamedTuple):
    """What a file says of itself, before it is decoded.

    Attributes:
        size: (H, W), as it is to be seen.
        grey: Whether it has no color.
        traits: What a conversion has to see to, e.g. `("palette", "transparent")`.
    """

    size: tuple[int, int]
    grey: bool
    traits: tuple[str, ...]


def read_header(path: Path, options: ImageOptions) -> Header:
    """Reads what an image file declares.

    Args:
        path: The file.
        options: Of these, `max_megapixels` counts.

    Returns:
        `Header`.

    Raises:
        DataError: If it is no image of `FORMATS`, is damaged or too large.
    """
    with _opened(path, options.max_megapixels) as image:
        width, height = image.size
        # of Image: a PNG's own would decode it, in case that more follows its pixels
        orientation = _orientation(image, Image.Image.getexif)
        depth, grey = _of_png(path) if image.format == "PNG" else (8, False)
        palette = image.mode == "P"
        found = {
            "palette": palette,
            "transparent": image.has_transparency_data,
            "16-bit": depth == 16,
            "CMYK": image.mode == "CMYK",
            "rotated": orientation in TURNED,
            "animated": image.format in ("PNG", "WEBP", "GIF") and image.is_animated,
        }
        if palette:
            colors = np.reshape(image.getpalette("RGB"), (-1, 3))
            grey = bool((colors == colors[:, :1]).all())
        if orientation in (5, 6, 7, 8):
            width, height = height, width
        return Header(
            (height, width),
            grey or image.mode in ("1", "L", "LA", "I;16"),
            tuple(name for name, holds in found.items() if holds),
        )


def read_image(path: Path, options: ImageOptions) -> np.ndarray:
    """Decodes an image file.

    Args:
        path: The file.
        options: How to convert it; the channels must be settled.

    Returns:
        uint8 (H, W, C).

    Raises:
        DataError: If it is no image of `FORMATS`, is damaged or too large.

    Example:
        >>> path = Path("square.png")
        >>> Image.new("L", (100, 100)).save(path)
        >>> read_image(path, ImageOptions(image_size=64, channels=3)).shape
        (64, 64, 3)
    """
    with _opened(path, options.max_megapixels) as image:
        if options.image_size is not None:
            # a JPEG can be decoded at half its size, or less, which is as good
            image.draft(None, (2 * max(options.image_size),) * 2)
        image.load()
        orientation = _orientation(image, type(image).getexif)
        picture = _flat(_eight_bit(image), options)
        if orientation in TURNED:
            picture = picture.transpose(TURNED[orientation])
        if options.image_size is not None:
            picture = _resized(picture, options)
    pixels = np.asarray(picture)
    return pixels if pixels.ndim == 3 else pixels[..., None]


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Silences Pillow, whose warning of too many pixels becomes an error.

    Python's filters are those of all threads: this is for the main one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextlib.contextmanager
def _opened(path: Path, max_megapixels: int) -> Iterator[Any]:
    """An image, not decoded yet; what goes wrong with it in one sentence."""
    where = on_one_line(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > max_megapixels * MEGA:
                raise Image.DecompressionBombError
            yield image
    except UnidentifiedImageError as error:
        raise DataError(f"{where}: no PNG, JPEG, WebP, BMP or GIF image.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{where}: more than {max_megapixels} million pixels; make it smaller, or "
            "allow more with --max-megapixels."
        ) from error
    except Exception as error:  # a dozen types, from SyntaxError to zlib.error
        cause = first_line(error).rstrip(".")
        raise DataError(f"{where}: cannot be decoded: {cause}.") from error


def _of_png(path):
    """Bits of a channel and whether there is no color; Pillow does not say for all."""
    with path.open("rb") as file:
        header = file.read(26)
    return header[24], header[25] in (0, 4)


def _orientation(image, getexif):
    try:
        return getexif(image).get(ExifTags.Base.Orientation)
    except Exception:  # damaged metadata are no reason to refuse the pixels
        return None


def _eight_bit(image):
    """The image, with 8 bits a channel."""
    if image.mode != "I;16":
        return image
    values = np.asarray(image).astype(np.uint32)
    grey = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    key = image.info.get("transparency")  # the one grey level that is not opaque
    if key is not None:
        grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey


def _flat(image, options):
    """The image in its channels, over the background where it is transparent."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, options.background)
        image = Image.alpha_composite(ground, image)
    return image.convert("L" if options.channels == 1 else "RGB")


def _resized(picture, options):
    height, width = options.image_size
    if options.resize == "crop":
        return ImageOps.fit(picture, (width, height), BICUBIC)
    if options.resize == "stretch":
        return picture.resize((width, height), BICUBIC)
    scale = min(width / picture.width, height / picture.height)
    inner = [max(1, round(scale * side)) for side in picture.size]
    padded = Image.new(picture.mode, (width, height), options.background)
    corner = ((width - inner[0]) // 2, (height - inner[1]) // 2)
    padded.paste(picture.resize(inner, BICUBIC), corner)
    return padded
