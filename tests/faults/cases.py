"""A fault of an input: what makes it, and what must be said of it."""

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.faults.array_bytes import IMAGES

TRAIN = "train-images-idx3-ubyte"


class Case(NamedTuple):
    """A fault.

    Args:
        what: The fault, in a few words.
        make: Takes an empty folder; returns the path to be used.
        status: The exit status of the error; 0 where there must be none.
        words: What the sentence must name.
        images: Those that are read where there is no error.
    """

    what: str
    make: Callable[[Path], Any]
    status: int = 3
    words: tuple[str, ...] = ()
    images: np.ndarray = IMAGES


def right(what, make, images=IMAGES):
    """A case that is no fault."""
    return Case(what, make, 0, (), images)


def file(name: str, data: bytes):
    """A function that writes one file."""

    def make(folder):
        (folder / name).write_bytes(data)
        return folder / name

    return make


def files(**contents: bytes):
    """A function that writes a folder of the MNIST family, by the names' beginnings."""
    names = {
        "train": TRAIN,
        "labels": "train-labels-idx1-ubyte",
        "test": "t10k-images-idx3-ubyte",
        "packed": f"{TRAIN}.gz",
    }

    def make(folder):
        for name, data in contents.items():
            (folder / names[name]).write_bytes(data)
        return folder

    return make


def arrays(**members):
    """A function that writes `data.npz`."""

    def make(folder):
        np.savez(folder / "data.npz", **members)
        return folder / "data.npz"

    return make


def sparse(name: str, header: bytes, size: int):
    """A function that writes a file of `size` zeros that takes no disk."""

    def make(folder):
        with open(folder / name, "wb") as file:
            file.write(header)
            file.truncate(len(header) + size)
        return folder if name == TRAIN else folder / name

    return make


def zeros(header: bytes, megabytes: int):
    """A function that writes a gzip file of zeros, a thousandth of their size."""

    def make(folder):
        with gzip.open(folder / f"{TRAIN}.gz", "wb", compresslevel=1) as file:
            file.write(header)
            for _ in range(megabytes):
                file.write(bytes(10**6))
        return folder

    return make


def zipped(header: bytes, megabytes: int):
    """A function that writes a `.npz` file of zeros."""

    def make(folder):
        path = folder / "data.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
            with new.open("images.npy", "w") as file:
                file.write(header)
                for _ in range(megabytes):
                    file.write(bytes(10**6))
        return path

    return make


def special(name: str, place: Callable[[Path], None], whole=False):
    """A function that puts something that is no file into the folder."""

    def make(folder):
        place(folder / name)
        return folder / name if whole else folder

    return make


def linked(target: str, name="run"):
    """A function that makes a link; returns its path."""

    def make(folder):
        (folder / name).symlink_to(target)
        return folder / name

    return make


def beside(folder):
    (folder / "there").mkdir()
    return linked("there")(folder)
