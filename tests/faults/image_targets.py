"""Readers of images, with other readers to compare them with."""

import gzip
import io
import zipfile

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_vae.data import array_files, sources
from keras_vae.data.image_files import (
    ImageOptions,
    read_header,
    read_image,
    without_warnings,
)
from keras_vae.data.row_file import RowFile
from tests.faults import image_cases
from tests.faults.array_bytes import IMAGES, LABELS, idx, npy, npz
from tests.faults.mutations import ZIP, damaged
from tests.faults.targets import Target, written


def read_idx(data, folder):
    found = array_files.read_idx(written(folder, "a", data))
    kind, rank = data[2], data[3]
    shape = np.frombuffer(data[4 : 4 + 4 * rank], ">u4")
    assert found.shape == tuple(shape)
    assert found.tobytes() == data[4 + 4 * rank :]
    assert array_files._IDX_DTYPES[kind] in (found.dtype.str, found.dtype.str[1:])


def read_gzip(data, folder):
    found = array_files.read_idx(written(folder, "a", data))
    content = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    assert found.tobytes() == content[4 + 4 * content[3] :]


def read_npy(data, folder):
    found = array_files.read_npy(written(folder, "a.npy", data))
    expected = np.load(io.BytesIO(data), allow_pickle=False)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


def read_npz(data, folder):
    found = array_files.read_npz(written(folder, "a.npz", data))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for split in found.values():
            member = split.where.partition("[")[2][:-1] + ".npy"
            if member in archive.namelist():  # not an odd name in quotes
                expected = np.load(io.BytesIO(archive.read(member)), allow_pickle=False)
                assert split.images.tobytes() == expected.tobytes()


def read_images(arrays, folder):
    images, labels = arrays
    np.savez(folder / "a.npz", images=images, labels=labels)
    source = sources.load(folder / "a.npz")
    found = [split for split in (source.train, source.validation, source.test) if split]
    scaled = images.dtype.kind == "b" or images.dtype.kind == "f" and images.max() <= 1
    expected = images.astype(np.result_type(images, "f4")) * (255 if scaled else 1)
    for given, read in (
        (np.rint(expected), [split.images for split in found]),
        (labels, [split.labels for split in found]),
    ):
        np.testing.assert_array_equal(
            np.sort(given, None), np.sort(np.concatenate(read), None)
        )


def read_picture(data, folder):
    options = ImageOptions(channels=3, max_megapixels=1)
    path = written(folder, "a.png", data)
    with without_warnings():
        image = read_image(path, options)
        size = read_header(path, options).size
    assert image.dtype == np.uint8 and image.shape[2] == 3
    assert size == image.shape[:2] or b"eXIf" in data  # it may follow the pixels


def read_cache(data, folder):
    rows = RowFile(written(folder, "a.images", data))
    images = rows.read(np.arange(len(rows)))
    assert data.endswith(images.tobytes())


HEADER = (b"(", b")", b",", b"-", b"1", b"'", b"{", b"}", b"L", b"|b1", b"<f8", b">u2")
SMALL = IMAGES[:3, :2, :2]
IDX = [idx(SMALL), idx((SMALL / 255).astype(">f4")), idx(LABELS)]
ARRAYS = [npy(SMALL), npy(SMALL / 255), npy(np.asfortranarray(SMALL)), npy(SMALL > 9)]
MEMBERS = [
    {"images.npy": ARRAYS[0], "labels.npy": npy(LABELS[:3])},
    {"a.npy": ARRAYS[1]},
]
PACKED = st.one_of(damaged(*map(gzip.compress, IDX)), damaged(*IDX).map(gzip.compress))
ZIPPED = st.one_of(
    damaged(*map(npz, MEMBERS), *(npz(part, 0) for part in MEMBERS), words=ZIP),
    damaged(*ARRAYS, words=HEADER).map(lambda data: npz({"images.npy": data}, 0)),
)
KINDS = st.sampled_from(["u1", "i2", ">u4", "i8", "u8", "f2", ">f4", "f8", "g", "?"])


@st.composite
def pixels(draw):
    """Images and labels that might go together."""
    kind = np.dtype(draw(KINDS))
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=4, min_side=1, max_side=4))
    level = st.floats(0, 1, width=16) if kind.kind == "f" else st.integers(0, 255)
    usual = kind.kind != "b" and draw(st.booleans())
    images = draw(hnp.arrays(kind, shape, elements=level if usual else None))
    kind = draw(KINDS.filter(lambda kind: kind != "?"))
    usual = st.integers(0, 9) if draw(st.booleans()) else None
    return images, draw(hnp.arrays(kind, shape[:1], elements=usual))


PICTURES = [*image_cases.FILES.values(), *map(image_cases.animation, ("PNG", "GIF"))]
CACHE = b'{"about": {"made_from": ""}, "shape": [3, 2, 2, 1]}'
CACHE = b"keras_vae images, 1\n" + len(CACHE).to_bytes(8, "little") + CACHE + bytes(12)

TARGETS = (
    Target("any bytes as IDX", damaged(*IDX), read_idx),
    Target("any bytes as gzip, or packed in it", PACKED, read_gzip),
    Target("any bytes as `.npy`", damaged(*ARRAYS, words=HEADER), read_npy),
    Target("any bytes as `.npz`, or in it", ZIPPED, read_npz),
    Target("any pixels and labels", pixels(), read_images),
    Target("any bytes as an image file", damaged(*PICTURES), read_picture),
    Target("any bytes as a cache of pixels", damaged(CACHE), read_cache),
)
