"""What lies in a folder of images: the files, their splits and their classes.

Nothing is opened here. What is no image by the ending of its name is left alone, and
counted; links are never followed out of the folder, and links to folders not at all.
"""

import collections
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_vae.data.image_files import SUFFIXES
from keras_vae.errors import DataError, on_one_line, shown

SPLITS = {  # name of a subfolder, in small letters -> split
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
    "testing": "test",
}


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files in a folder and below.

    Attributes:
        images: Names of what seem to be images, relative to the folder, sorted.
        unusable: Name -> what is wrong with it, of images that must not be opened.
        others: Ending -> number of files that are no images.
    """

    images: list[str]
    unusable: dict[str, str]
    others: collections.Counter[str]


def listed(folder: Path) -> Listing:
    """Looks through a folder.

    Args:
        folder: The folder.

    Returns:
        `Listing`.

    Raises:
        DataError: If a folder cannot be read.
    """
    root = folder.resolve()
    images, unusable, others = [], {}, collections.Counter()
    folders = [root]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError as error:
            raise DataError(
                f"{on_one_line(error.filename)}: cannot be read ({error.strerror})."
            ) from error
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):  # thumbnails, of an editor
                    folders.append(Path(entry.path))
                continue
            name = Path(entry.path).relative_to(root).as_posix()
            ending = Path(entry.name).suffix.lower()
            link = entry.is_symlink() and os.path.realpath(entry.path)
            if link and os.path.isdir(link):
                unusable[name] = "a link to a folder; put the images there themselves"
            elif entry.name.startswith(".") or ending not in SUFFIXES:
                others[ending] += 1
            elif not os.path.isfile(entry.path):  # a pipe would wait for a writer
                unusable[name] = "not a regular file"
            elif link and root not in Path(link).parents:
                unusable[name] = "a link that leads out of the folder; copy the file"
            else:
                images.append(name)
    return Listing(sorted(images), dict(sorted(unusable.items())), others)


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """How images are divided by their folders.

    Attributes:
        rows: Split -> int64 (n,), which of the images are in it.
        labels: Split -> int64 (n,), class numbers of those, or `None`.
        class_names: Names of the classes 0, 1, ..., or `None`.
    """

    rows: dict[str, np.ndarray]
    labels: dict[str, np.ndarray | None]
    class_names: tuple[str, ...] | None


def arranged(folder: Path, images: Sequence[str]) -> Layout:
    """Reads splits and classes off the names of images.

    Args:
        folder: What error messages call the folder.
        images: Names relative to it, at least one.

    Returns:
        `Layout`, with at least the split `"train"`; classes are sorted by name.

    Raises:
        DataError: If the images are laid out in none of the known ways.
    """
    parts = [name.split("/") for name in images]
    _check_depth(folder, parts)
    split_of = _splits(folder, parts)
    splits = split_of or ["train"] * len(parts)
    inner = [part[1:] if split_of else part for part in parts]
    rows = {
        split: np.flatnonzero(np.array(splits) == split)
        for split in ("train", "validation", "test")
        if split in splits
    }
    kinds = {}  # split -> the class of each image; None for all
    for split, chosen in rows.items():
        classes = [inner[row][0] if len(inner[row]) > 1 else None for row in chosen]
        if None in classes:
            if set(classes) != {None}:
                beside = folder / images[int(chosen[classes.index(None)])]
                raise DataError(
                    f"{on_one_line(beside)}: lies beside the folders of the classes; "
                    "move it into one of them."
                )
            classes = None
        kinds[split] = classes
    if kinds["train"] is None:
        for split, classes in kinds.items():
            if classes is not None:
                raise DataError(
                    f"{folder}: the {split} images lie in folders of classes, the "
                    "training images do not; lay them out alike."
                )
        return Layout(rows, dict.fromkeys(rows), None)
    names = sorted(set(kinds["train"]))
    labels = {}
    for split, classes in kinds.items():
        labels[split] = _labels(folder, split, classes, names)
    return Layout(rows, labels, tuple(names))


def _check_depth(folder, parts):
    """Refuses splits that lie one folder deeper: they would be taken for one class."""
    for part in parts:
        if len(part) > 2 and _split(part[1]) == "train" and _split(part[0]) is None:
            raise DataError(
                f"{folder}: has its splits one folder deeper; pass "
                f"{on_one_line(folder / part[0])}."
            )


def _split(name):
    """The split that a folder of this name holds, or None."""
    return SPLITS.get(name.lower())


def _splits(folder, parts):
    """The split of each image; None where no subfolder has the name of one."""
    tops = sorted({on_one_line(part[0]) for part in parts if len(part) > 1})
    found = {_split(top) for top in tops}
    if found <= {None}:
        return None
    if "train" not in found:
        raise DataError(
            f"{folder}: has images in {tops[0]}, but none in train; expected the "
            "folders train, validation and test, of which train must be there."
        )
    splits, folder_of = [], {}
    for part in parts:
        split = _split(part[0]) if len(part) > 1 else None
        if split is None or folder_of.setdefault(split, part[0]) != part[0]:
            raise DataError(
                f"{on_one_line(folder / part[0])}: lies beside the folder train; "
                "expected nothing there but the folders validation (or val) and test."
            )
        splits.append(split)
    return splits


def _labels(folder, split, classes, names):
    if classes is None:
        raise DataError(
            f"{folder}: the training images lie in folders of classes, the {split} "
            "images do not; lay them out alike."
        )
    for name in classes:
        if on_one_line(name) != name:
            raise DataError(
                f"{folder}: the folder {shown(name)} cannot be the name of a class; "
                "rename it."
            )
    numbers = {name: number for number, name in enumerate(names)}
    if others := sorted(set(classes) - set(names)):
        raise DataError(
            f"{folder}: there are {split} images of the class {others[0]}, but none to "
            "train on; give it some, or remove them."
        )
    return np.array([numbers[name] for name in classes], np.int64)
