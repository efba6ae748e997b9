"""IDX, gzip, `.npy` and `.npz` files that are damaged, that lie, or that are odd."""

import gzip
import os
import struct
import zipfile
from pathlib import Path

import numpy as np

from tests.faults.array_bytes import IMAGES, LABELS, idx, npy, npz
from tests.faults.cases import (
    TRAIN,
    Case,
    file,
    files,
    right,
    sparse,
    special,
    zeros,
    zipped,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)
HUGE = struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1)
MANY = 6 * 2**30  # bytes, more than a data set may have
FLOATS = (IMAGES / 255).astype(">f4")
GOOD_GZIP = gzip.compress(idx())
HALVES = (idx()[:90], idx()[90:])

IDX = [
    Case("nothing", files(train=b""), 3, ("not an IDX file",)),
    Case("three bytes", files(train=b"\0\0\x08"), 3, ("not an IDX file",)),
    Case("a PNG", files(train=PNG), 3, ("not an IDX file",)),
    Case("another magic", files(train=b"\1" + idx()[1:]), 3, ("not an IDX file",)),
    Case("an unknown type", files(train=idx(kind=10)), 3, ("not an IDX file",)),
    Case("rank 0", files(train=idx(rank=0)), 3, ("rank 0",)),
    Case("rank 2", files(train=idx(IMAGES[0])), 3, ("rank 2",)),
    Case("rank 255", files(train=idx(rank=255)), 3, ("rank 255",)),
    Case("labels as images", files(train=idx(LABELS)), 3, ("rank 1",)),
    Case("half a header", files(train=idx()[:9]), 3, ("inside its header",)),
    Case("a byte missing", files(train=idx()[:-1]), 3, ("cut short",)),
    Case("half the images", files(train=idx()[:300]), 3, ("cut short",)),
    Case("a byte too many", files(train=idx() + b"\0"), 3, ("left over",)),
    Case("wider values", files(train=idx(kind=12)), 3, ("cut short", "2,416")),
    Case("2**96 bytes", files(train=idx()[:4] + HUGE), 3, ("cut short",)),
    Case("no images", files(train=idx(IMAGES[:0])), 3, ("no pixels",)),
    Case("no height", files(train=idx(IMAGES[:, :0])), 3, ("no pixels",)),
    Case(
        "6 GiB, as declared",
        sparse(TRAIN, idx(shape=(MANY >> 20, 1024, 1024))[:16], MANY),
        3,
        ("limit", f"{MANY:,}"),
    ),
    Case(
        "an image of 67 million pixels",
        sparse(TRAIN, idx(shape=(1, 2**13, 2**13 + 1))[:16], 2**26 + 2**13),
        3,
        ("8193", "values"),
    ),
    Case("fewer labels", files(train=idx(), labels=idx(LABELS[1:])), 3, ("19 labels",)),
    Case(
        "more labels",
        files(train=idx(IMAGES[1:]), labels=idx(LABELS)),
        3,
        ("20 labels",),
    ),
    Case("images as labels", files(train=idx(), labels=idx()), 3, ("labels-idx1",)),
    Case(
        "a negative pixel",
        files(train=idx(IMAGES.view("i1"))),
        3,
        ("image 0 holds -",),
    ),
    Case("test images alone", files(test=idx()), 3, ("no training images",)),
    Case(
        "test images of another size",
        files(train=idx(), test=idx(IMAGES[:, 1:])),
        3,
        ("differ", "size"),
    ),
    Case("a pipe", special(TRAIN, os.mkfifo), 3, ("not a regular file",)),
    Case("a folder", special(TRAIN, Path.mkdir), 3, ("not a regular file",)),
    Case(
        "a link to nothing",
        special(TRAIN, lambda path: path.symlink_to("nowhere")),
        3,
        ("not a regular file",),
    ),
    right("floats", files(train=idx(FLOATS))),
    right("labels", files(train=idx(), labels=idx(LABELS))),
]

GZIP = [
    Case(
        "400 MB of zeros",
        zeros(idx(shape=(400, 1000, 1000))[:16], 400),
        3,
        ("limit",),
    ),
    Case(
        "400 MB of zeros, declared as 600 bytes",
        zeros(idx()[:16], 400),
        3,
        ("left over",),
    ),
    Case(
        "10 GiB declared in 30 bytes",
        files(packed=gzip.compress(idx(shape=(10 << 10, 1024, 1024))[:16])),
        3,
        ("limit",),
    ),
    Case("2**96 bytes", files(packed=gzip.compress(idx()[:4] + HUGE)), 3, ("limit",)),
    Case("cut short", files(packed=GOOD_GZIP[:-9]), 3, ("cannot be read",)),
    Case("no trailer", files(packed=GOOD_GZIP[:-8]), 3, ("cannot be read",)),
    Case("no header", files(packed=GOOD_GZIP[:5]), 3, ("cannot be read",)),
    Case(
        "another CRC",
        files(packed=GOOD_GZIP[:-8] + bytes(4) + GOOD_GZIP[-4:]),
        3,
        ("CRC",),
    ),
    Case("another length", files(packed=GOOD_GZIP[:-4] + bytes(4)), 3, ("length",)),
    Case("junk after it", files(packed=GOOD_GZIP + b"junk"), 3, ("cannot be read",)),
    Case("a second file", files(packed=2 * GOOD_GZIP), 3, ("left over",)),
    Case("a byte missing", files(packed=gzip.compress(idx()[:-1])), 3, ("cut short",)),
    Case("no IDX file", files(packed=gzip.compress(PNG)), 3, ("not an IDX file",)),
    Case("twice packed", files(packed=gzip.compress(GOOD_GZIP)), 3, ("not an IDX",)),
    Case("50,000 empty files", files(packed=50_000 * gzip.compress(b"")), 3, ("IDX",)),
    Case(
        "a name of 1 MB",
        files(packed=GOOD_GZIP[:3] + b"\x08" + GOOD_GZIP[4:10] + 10**6 * b"a"),
        3,
        ("cannot be read",),
    ),
    right("in two parts", files(packed=b"".join(map(gzip.compress, HALVES)))),
    right("not packed, yet named so", files(packed=idx())),
]


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle was run')",)


def pickled(folder):
    path = folder / "data.npy"
    np.save(path, np.array([Bomb()] * 4, object), allow_pickle=True)
    return path


def npy_case(what, data, *words):
    return Case(what, file("data.npy", data), 3, words)


NPY = [
    npy_case("nothing", b"", "cannot be read"),
    npy_case("a text", b"some words in a file", "magic string"),
    npy_case("a PNG", PNG, "magic string"),
    npy_case("the magic alone", npy()[:6], "cannot be read"),
    npy_case("half a header", npy()[:40], "cannot be read"),
    npy_case("version 2", npy(version=(2, 0)), "version"),
    npy_case("version 9", npy(version=(9, 9)), "version"),
    npy_case("7 TiB declared", npy(shape=(7 << 20, 1024, 1024)), "cut short"),
    npy_case("2**126 bytes", npy(shape=(2**62, 2**62, 4)), "cut short"),
    npy_case("no images, of 2**62", npy(IMAGES[:0], shape=(0, 2**62, 9)), "cannot"),
    npy_case("a negative shape", npy(shape=(-20, 6, -5)), "declares the shape"),
    npy_case("a fractional shape", npy(shape=(20.0, 6, 5)), "cannot be read"),
    npy_case("70 axes", npy(IMAGES[0, 0, 0], shape=70 * (1,)), "cannot be read"),
    npy_case("a header of 60 kB", npy(header=60_000 * " "), "Header info length"),
    npy_case("9,000 brackets", npy(header=9_000 * "("), "cannot be read"),
    npy_case("9,000 minus signs", npy(header=9_000 * "-" + "1"), "cannot be read"),
    npy_case("no dict", npy(header="[1, 2]"), "cannot be read"),
    npy_case("a key missing", npy(header="{'descr': '|u1'}"), "cannot be read"),
    npy_case("code in the header", npy(header="__import__('os')"), "cannot be read"),
    npy_case("an unknown type", npy(descr="zebra"), "cannot be read"),
    npy_case("a byte missing", npy()[:-1], "cut short"),
    npy_case("a byte too many", npy() + b"\0", "left over"),
    npy_case("objects", npy(descr="|O"), "pickled Python objects"),
    Case("a pickle that runs code", pickled, 3, ("pickled Python objects",)),
    npy_case("records", npy(np.zeros(9, [("a\n\x1b[31m", "u1")])), "structured"),
    npy_case("complex numbers", npy(IMAGES.astype(complex)), "type complex128"),
    npy_case("words", npy(IMAGES.astype("S3")), "type |S3"),
    npy_case("dates", npy(IMAGES.astype("M8[s]")), "type datetime64"),
    npy_case("a .npz under its name", npz({"images.npy": npy()}), "magic string"),
    Case(
        "6 GiB, as declared",
        sparse("data.npy", npy(shape=(MANY >> 20, 1024, 1024))[:128], MANY),
        3,
        ("limit",),
    ),
    right("Fortran's order", file("data.npy", npy(np.asfortranarray(IMAGES)))),
    right("big-endian", file("data.npy", npy(IMAGES.astype(">f8")))),
    right("half precision", file("data.npy", npy((IMAGES / 255).astype("f2")))),
    right(
        "truth values of any byte",
        file("data.npy", npy(descr="|b1")),
        255 * (IMAGES > 0),
    ),
]


def twice_named(folder):
    path = folder / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", npy())
        archive.writestr("images", npy(255 - IMAGES))
    return path


def npz_case(what, data, *words):
    return Case(what, file("data.npz", data), 3, words)


NPZ_DATA = npz({"images.npy": npy()}, zipfile.ZIP_STORED)
ENCRYPTED = NPZ_DATA.replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1")
LIE = (len(npy()) - 9).to_bytes(4, "little")

NPZ = [
    npz_case("nothing", b"", "not a zip file"),
    npz_case("a text", b"some words in a file", "not a zip file"),
    npz_case("no arrays", npz({}), "no arrays"),
    npz_case("cut short", NPZ_DATA[:-30], "cannot be read"),
    npz_case(
        "another pixel", NPZ_DATA.replace(b"\n" + IMAGES.tobytes()[:1], b"\n\7"), "CRC"
    ),
    npz_case(
        "a size that lies",
        NPZ_DATA.replace(len(npy()).to_bytes(4, "little"), LIE),
        "CRC",
    ),
    npz_case("encrypted", ENCRYPTED, "encrypted"),
    npz_case("LZMA", npz({"images.npy": npy()}, zipfile.ZIP_LZMA), "packed in a way"),
    npz_case("no images", npz({"a.npy": npy(), "b.npy": npy()}), "holds a, b"),
    npz_case(
        "no training images", npz({"x_test.npy": npy(), "y_test.npy": npy()}), "x_train"
    ),
    npz_case(
        "names that steer terminals",
        npz({f"\x1b[31m\n{k}{300 * 'a'}.npy": npy() for k in range(9)}),
        r"\x1b[31m\n0aaa",
    ),
    Case("two arrays of one name", twice_named, 3, ("two arrays of one name",)),
    npz_case("objects", npz({"images.npy": npy(descr="|O")}), "pickled Python objects"),
    npz_case("a .npy under its name", npy(), "not a zip file"),
    Case(
        "300 MB of zeros",
        zipped(npy(shape=(300, 1000, 1000))[:128], 300),
        3,
        ("limit",),
    ),
    Case("a folder", special("data.npz", Path.mkdir, whole=True), 3, ("no images",)),
    right("one array of any name", file("data.npz", npz({"\n.npy": npy()}))),
    right(
        "objects beside the images",
        file("data.npz", npz({"images.npy": npy(), "z.npy": npy(descr="|O")})),
    ),
]
