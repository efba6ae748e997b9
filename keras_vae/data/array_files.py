"""Reads IDX, `.npy` and `.npz` files that nobody has vouched for.

Headers come first. The size they declare must agree with the file, or for compressed
data stay inside a budget, before any array is allocated; pickles are never loaded.
"""

import contextlib
import gzip
import io
import math
import os
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np

from keras_vae.data.images import RawSplit
from keras_vae.errors import DataError, first_line, shown

MAX_BYTES = 4 * 2**30  # of one data set: 60,000 MNIST images take 0.05 GB
MAX_RATIO = 200  # deflate ends at 1032; only near-uniform images exceed this
FREE_BYTES = 64 * 2**20  # too small to hurt, whatever the ratio

_IDX_NAME = re.compile(r"(train|t10k|test)-(images|labels)[.-]idx\d-ubyte(\.gz)?")
_IDX_DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_NPZ_SPLITS = {"train": "train", "validation": "val", "test": "test"}
_NPZ_KEYS = (("x_{}", "y_{}"), ("{}_images", "{}_labels"))


def read_path(path: Path) -> dict[str, RawSplit]:
    """Reads a folder with IDX files, a `.npz` file or a `.npy` file.

    Args:
        path: The folder or file.

    Returns:
        The splits it holds, by name; a file without named splits is all `"train"`.

    Raises:
        DataError: If the path does not exist, is none of the three, or is damaged.
    """
    if path.is_dir():
        return read_idx_folder(path)
    if not path.exists():
        raise DataError(
            f"{path}: no such file or folder; expected a folder of images or with IDX"
            " files, or a .npz or .npy file."
        )
    if path.suffix == ".npz":
        return read_npz(path)
    if path.suffix == ".npy":
        return {"train": RawSplit(read_npy(path), None, str(path))}
    raise DataError(
        f"{path}: not a kind of data that can be read; expected a folder of images or"
        " with IDX files, or a .npz or .npy file."
    )


def has_idx_files(folder: Path) -> bool:
    """Whether a folder holds a file named as those of MNIST."""
    with _reading(folder):
        return any(_IDX_NAME.fullmatch(path.name) for path in folder.iterdir())


def read_idx_folder(folder: Path) -> dict[str, RawSplit]:
    """Reads a folder of the MNIST family: `train-images-idx3-ubyte` and so on.

    Files may be plain or gzipped (`.gz`; the plain one wins), `t10k` or `test`, with
    `-idx3-` or `.idx3-` in the name. Labels may be absent.

    Args:
        folder: Where the files lie.

    Returns:
        `"train"`, and `"test"` where the folder has it.

    Raises:
        DataError: If there are no training images, or a file is damaged.
    """
    found: dict[tuple[str, str], Path] = {}
    with _reading(folder):
        for path in sorted(folder.iterdir()):
            if match := _IDX_NAME.fullmatch(path.name):
                split = "train" if match[1] == "train" else "test"
                found.setdefault((split, match[2]), path)
    if ("train", "images") not in found:
        raise DataError(
            f"{folder}: no training images; expected IDX files such as"
            " train-images-idx3-ubyte or train-images-idx3-ubyte.gz."
        )
    splits, left = {}, MAX_BYTES
    for split in ("train", "test"):
        if (split, "images") in found:
            path = found[split, "images"]
            images, labels = read_idx(path, (3, 4), left), None
            left -= images.nbytes
            if (split, "labels") in found:
                labels = read_idx(found[split, "labels"], (1,), left)
                left -= labels.nbytes
            splits[split] = RawSplit(images, labels, str(path))
    return splits


def read_idx(
    path: Path, ranks: tuple[int, ...] = (1, 2, 3, 4), most: int = MAX_BYTES
) -> np.ndarray:
    """Reads one IDX file, plain or gzipped.

    The format: two zero bytes, a byte for the type, a byte for the rank, each dimension
    as a big-endian uint32, then the values (LeCun, "The MNIST database").

    Args:
        path: The file; gzip is recognized by its first bytes, not by its name.
        ranks: The ranks that are acceptable.
        most: The bytes that the array may take.

    Returns:
        The array, big-endian where the file is.

    Raises:
        DataError: If the file is no IDX file, is cut short, has bytes left over, or
            declares more than may be allocated.
    """
    with _reading(path), _open(path) as file:
        gzipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if gzipped else file
        magic = stream.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_DTYPES:
            raise DataError(
                f"{path}: not an IDX file, it begins with {magic!r}; fetch it again."
            )
        if magic[3] not in ranks:
            raise DataError(
                f"{path}: holds an array of rank {magic[3]}; expected rank"
                f" {' or '.join(map(str, ranks))}."
            )
        header = stream.read(4 * magic[3])
        if len(header) < 4 * magic[3]:
            raise DataError(f"{path}: ends inside its header; fetch it again.")
        shape = struct.unpack(f">{magic[3]}I", header)
        dtype = np.dtype(_IDX_DTYPES[magic[2]])
        num_bytes = math.prod(shape) * dtype.itemsize
        on_disk = os.fstat(file.fileno()).st_size
        if not gzipped:
            _check_size(4 + len(header) + num_bytes, on_disk, path)
        _check_budget(num_bytes, on_disk, path, most)
        return _read_bytes(stream, num_bytes, path).view(dtype).reshape(shape)


def read_npy(path: Path) -> np.ndarray:
    """Reads a `.npy` file of plain numbers.

    Args:
        path: The file.

    Returns:
        The array, in the byte order and memory order of the file.

    Raises:
        DataError: If it holds anything else, or its size is not what its header says.
    """
    with _reading(path), _open(path) as file:
        size = os.fstat(file.fileno()).st_size
        return _read_npy_stream(file, size, str(path))


def read_npz(path: Path) -> dict[str, RawSplit]:
    """Reads a `.npz` file with the splits of a data set.

    Args:
        path: A file with `x_train`, `y_train`, `x_test`, `y_test` (Keras's mnist.npz),
            or `train_images`, `train_labels`, `val_images` and so on, or `images` and
            `labels`, or a single array. Only the images are required. Arrays under
            other names stay unread.

    Returns:
        The splits it holds, by name; `images` and a single array are `"train"`.

    Raises:
        DataError: If the images are missing, an array is not of plain numbers, or the
            file is damaged or inflates beyond the budget.
    """
    with _reading(path), _open(path) as file, zipfile.ZipFile(file) as archive:
        members = {m.filename.removesuffix(".npy"): m for m in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise DataError(
                f"{path}: holds two arrays of one name; save it again with numpy.savez."
            )
        layout = _npz_layout(list(members), path)
        wanted = [key for keys in layout.values() for key in keys if key in members]
        _check_budget(
            sum(members[key].file_size for key in wanted),
            os.fstat(file.fileno()).st_size,
            path,
        )
        arrays = {}
        for key in wanted:
            member = members[key]
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(
                    f"{path}: array {_spelled(key)} is packed in a way NumPy does not"
                    " write; save it with numpy.savez or numpy.savez_compressed."
                )
            with archive.open(member) as stream:
                where = f"{path}[{_spelled(key)}]"
                arrays[key] = _read_npy_stream(
                    cast(io.BufferedIOBase, stream), member.file_size, where
                )
    return {
        split: RawSplit(
            arrays[images], arrays.get(labels), f"{path}[{_spelled(images)}]"
        )
        for split, (images, labels) in layout.items()
    }


def _spelled(key: str) -> str:
    """The name of an array, in quotes where it is an odd one."""
    return key if key.isidentifier() and len(key) <= 24 else shown(key, 24)


def _npz_layout(names: list[str], path: Path) -> dict[str, tuple[str, str]]:
    """Finds the keys of images and labels, by split."""
    for images, labels in _NPZ_KEYS:
        layout = {
            split: (images.format(short), labels.format(short))
            for split, short in _NPZ_SPLITS.items()
            if images.format(short) in names
        }
        if "train" in layout:
            return layout
    if "images" in names:
        return {"train": ("images", "labels")}
    if len(names) == 1:
        return {"train": (names[0], "")}
    found = ", ".join(map(_spelled, sorted(names)[:5])) or "no arrays"
    raise DataError(
        f"{path}: holds {found}; expected x_train, y_train, x_test, y_test, or images"
        " and labels, or a single array."
    )


def _read_npy_stream(stream: io.BufferedIOBase, size: int, where: str) -> np.ndarray:
    """Reads an array in the npy format that takes exactly `size` bytes."""
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):  # 2.0 and 3.0 are for structured dtypes: headers up to 4 GiB
        raise DataError(
            f"{where}: in version {version} of the npy format, which plain arrays never"
            " need; save the array with numpy.save."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the header makes Python's parser say
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.kind not in "buif":
        kind = "a structured type" if dtype.kind == "V" else f"type {dtype}"
        what = "pickled Python objects" if dtype.hasobject else f"values of {kind}"
        raise DataError(
            f"{where}: holds {what}, which are not loaded; save an array of plain"
            " numbers."
        )
    if any(n < 0 for n in shape):
        raise DataError(
            f"{where}: declares the shape {shown(shape)}; fetch or save it again."
        )
    num_bytes = math.prod(shape) * dtype.itemsize
    _check_size(stream.tell() + num_bytes, size, where)
    _check_budget(num_bytes, size, where)
    array = _read_bytes(stream, num_bytes, where).view(dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _check_size(expected: int, actual: int, where: object) -> None:
    if expected != actual:
        state = "is cut short" if actual < expected else "has bytes left over"
        raise DataError(
            f"{where}: {state}, {actual:,} bytes where its header declares"
            f" {expected:,}; fetch or save it again."
        )


def _check_budget(
    num_bytes: int, on_disk: int, where: object, most: int = MAX_BYTES
) -> None:
    limit = min(most, max(FREE_BYTES, MAX_RATIO * on_disk))
    if num_bytes > limit:
        raise DataError(
            f"{where}: {on_disk:,} bytes that declare {num_bytes:,} of content; the"
            f" limit for a file of this size is {limit:,}, so save fewer images, or as"
            " uint8."
        )


def _read_bytes(stream: io.BufferedIOBase, num_bytes: int, where: object) -> np.ndarray:
    """Reads to the end of a stream that must hold `num_bytes` more, as uint8."""
    data = np.empty(num_bytes, np.uint8)
    view, done = data.data, 0
    while done < num_bytes:
        count = stream.readinto(view[done : done + 2**24])
        if not count:
            raise DataError(
                f"{where}: is cut short, {done:,} bytes of values where its header"
                f" declares {num_bytes:,}; fetch or save it again."
            )
        done += count
    if stream.read(1):  # reaching the end is also what checks the CRC
        raise DataError(
            f"{where}: has bytes left over after the {num_bytes:,} that its header"
            " declares; fetch or save it again."
        )
    return data


def _open(path: Path) -> io.BufferedIOBase:
    if not path.is_file():  # a named pipe would wait for a writer that may never come
        raise DataError(f"{path}: not a regular file.")
    return path.open("rb")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns what broken files make gzip, zipfile and numpy raise into a `DataError`."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # a dozen types, from zlib.error to OverflowError
        cause = first_line(error).rstrip(".")
        raise DataError(f"{path}: cannot be read: {cause}.") from error
