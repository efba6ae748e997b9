import gzip
import io
import os
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_vae.data import array_files
from keras_vae.data.array_files import read_idx, read_idx_folder
from keras_vae.data.sources import load
from keras_vae.errors import DataError

CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}
FAST = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def idx_bytes(array):
    code = next(c for kind, c in CODES.items() if np.dtype(kind) == array.dtype)
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + shape + array.tobytes()


def write_folder(folder, train=20, test=10, *, gz=True, suffix="-idx{}-ubyte"):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for split, num in (("train", train), ("t10k", test)):
        for kind, array in (
            ("images", rng.integers(0, 256, (num, 6, 5), np.uint8)),
            ("labels", np.arange(num, dtype=np.uint8) % 10),
        ):
            name = f"{split}-{kind}{suffix.format(array.ndim)}"
            data = idx_bytes(array)
            if gz:
                name, data = name + ".gz", gzip.compress(data)
            (folder / name).write_bytes(data)
    return folder


@FAST
@given(
    array=st.sampled_from(sorted(CODES)).flatmap(
        lambda code: hnp.arrays(
            np.dtype(code), hnp.array_shapes(min_dims=1, max_dims=4, max_side=5)
        )
    ),
    gz=st.booleans(),
)
def test_idx_round_trip(array, gz):
    data = idx_bytes(array)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(gzip.compress(data, 1) if gz else data)
        back = read_idx(path)
    np.testing.assert_array_equal(back, array)
    assert back.shape == array.shape


@FAST
@given(
    cut=st.integers(0, 100),
    flips=st.lists(st.tuples(st.integers(0, 200), st.integers(1, 255)), max_size=4),
    gz=st.booleans(),
)
def test_damaged_idx_gives_an_array_of_the_declared_size_or_a_data_error(
    cut, flips, gz
):
    good = idx_bytes(np.arange(60, dtype=np.uint8).reshape(5, 4, 3))
    data = bytearray(gzip.compress(good, 1) if gz else good)
    data = data[: len(data) - cut] if cut else data
    for position, mask in flips:
        if data:
            data[position % len(data)] ^= mask
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(bytes(data))
        try:
            array = read_idx(path)
        except DataError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        else:
            assert array.nbytes <= 64


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "not an IDX file"),
        (b"\0\0\x07\x01" + struct.pack(">I", 1) + b"\0", "not an IDX file"),
        (b"\0\0\x08\x00", "rank 0"),
        (b"\0\0\x08\xff" + bytes(2000), "rank 255"),
        (b"\0\0\x08\x03" + bytes(8), "inside its header"),
        (b"\0\0\x08\x01" + struct.pack(">I", 9) + bytes(8), "cut short"),
        (b"\0\0\x08\x01" + struct.pack(">I", 9) + bytes(10), "left over"),
        (b"\0\0\x0b\x01" + struct.pack(">I", 9) + bytes(9), "cut short"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "cut short|declare"),  # 2**96 bytes
        (b"\0\0\x0e\x04" + struct.pack(">4I", 2**31, 2**31, 4, 1), "cut short|declare"),
    ],
)
def test_bad_idx_is_refused(tmp_path, data, message, gz):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(data) if gz else data)
    with pytest.raises(DataError, match=message):
        read_idx(path)


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "a"
    for pack in (bytes, gzip.compress):
        data = pack(idx_bytes(np.arange(60, dtype=np.uint8).reshape(5, 4, 3)))
        for length in range(len(data)):
            path.write_bytes(data[:length])
            with pytest.raises(DataError):
                read_idx(path)


def test_gzip_with_bad_crc_or_a_second_member_is_refused(tmp_path):
    path = tmp_path / "a"
    good = gzip.compress(idx_bytes(np.arange(60, dtype=np.uint8)))
    path.write_bytes(good[:-8] + bytes([good[-8] ^ 1]) + good[-7:])
    with pytest.raises(DataError, match="CRC"):
        read_idx(path)
    path.write_bytes(good + gzip.compress(b"more"))
    with pytest.raises(DataError, match="left over"):
        read_idx(path)
    path.write_bytes(good + b"junk")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(path)


def test_gzip_bomb_is_refused_before_it_inflates(tmp_path, monkeypatch):
    # 200 MB of zeros in 200 kB, honestly declared: stopped by the ratio.
    path = tmp_path / "a"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"\0\0\x08\x03" + struct.pack(">3I", 200, 1000, 1000))
        for _ in range(200):
            file.write(bytes(10**6))
    with pytest.raises(DataError, match="the limit for a file of this size"):
        read_idx(path)
    # The same bytes, declared as 100: only 101 of them are ever asked for.
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"\0\0\x08\x01" + struct.pack(">I", 100))
        for _ in range(200):
            file.write(bytes(10**6))
    asked = []
    fill = array_files._read_bytes
    monkeypatch.setattr(
        array_files, "_read_bytes", lambda s, n, w: (asked.append(n), fill(s, n, w))[1]
    )
    with pytest.raises(DataError, match="left over"):
        read_idx(path)
    assert asked == [100]


def test_idx_folder_reads_gzipped_plain_and_dotted_names(tmp_path):
    gz = read_idx_folder(write_folder(tmp_path / "gz"))
    plain = read_idx_folder(write_folder(tmp_path / "plain", gz=False))
    dotted = read_idx_folder(write_folder(tmp_path / "dot", suffix=".idx{}-ubyte"))
    for split, num in (("train", 20), ("test", 10)):
        assert gz[split].images.shape == (num, 6, 5)
        assert gz[split].labels.shape == (num,)
        np.testing.assert_array_equal(gz[split].images, plain[split].images)
        np.testing.assert_array_equal(gz[split].images, dotted[split].images)


def test_idx_folder_without_labels_or_without_images(tmp_path):
    folder = write_folder(tmp_path / "a")
    for path in folder.glob("*labels*"):
        path.unlink()
    assert read_idx_folder(folder)["test"].labels is None
    (folder / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match="no training images; expected IDX files"):
        read_idx_folder(folder)


def test_idx_folder_refuses_labels_in_place_of_images(tmp_path):
    folder = write_folder(tmp_path / "a")
    images, labels = (
        folder / f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")
    )
    images.write_bytes(labels.read_bytes())
    with pytest.raises(DataError, match="rank 1; expected rank 3 or 4"):
        read_idx_folder(folder)


def test_named_pipe_in_place_of_a_file_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(DataError, match="not a regular file"):
        read_idx_folder(tmp_path)


IMAGES = np.random.default_rng(0).integers(0, 256, (60, 6, 5, 1), np.uint8)
LABELS = np.repeat(np.arange(3), 20)


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle was run')",)


def npy_header(descr="|u1", shape=(2, 2, 2), version=1, fortran=False):
    text = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}}}"
    text = text.encode() + b" " * (118 - len(text)) + b"\n"
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text


def member(data):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", data)
    return packed.getvalue()


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "cannot be read"),
        (b"just some text in a file", "magic string"),
        (npy_header(shape=(2**40, 8, 1)), "cut short"),  # 8 TiB declared
        (npy_header(shape=(2**62, 2**62, 4)), "cut short"),  # 2**126: no overflow
        (npy_header(shape=(-2, 2, 2)) + bytes(8), "declares the shape"),
        (npy_header() + bytes(7), "cut short"),
        (npy_header() + bytes(9), "left over"),
        (npy_header("|O") + bytes(64), "pickled Python objects"),
        (npy_header("zebra") + bytes(8), "cannot be read"),
        (npy_header(shape="(2,") + bytes(8), "cannot be read"),
        (npy_header(shape="(2.0, 2, 2)") + bytes(8), "cannot be read"),
        (npy_header(version=2) + bytes(8), "version"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, "cannot be read"),
        (b"\x93NUMPY\x01\x00\x76\x00{'descr'", "cannot be read"),
    ],
)
def test_hostile_npy_headers_are_refused(tmp_path, suffix, data, message):
    path = tmp_path / f"data{suffix}"
    path.write_bytes(data if suffix == ".npy" else member(data))
    with pytest.raises(DataError, match=message) as raised:
        load(path)
    assert "\n" not in str(raised.value) and str(path) in str(raised.value)


def test_pickles_are_never_run(save, tmp_path):
    wrong = np.array([Bomb()] * 4, object)
    np.save(tmp_path / "data.npy", wrong, allow_pickle=True)
    for path in (save(images=wrong), tmp_path / "data.npy"):
        with pytest.raises(DataError, match="pickled Python objects"):
            load(path)
    # An unread array may hold what it likes.
    assert len(load(save(images=IMAGES, notes=wrong)).test) == 6


def test_npz_bombs_are_refused_before_they_inflate(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("images.npy", "w") as file:
            file.write(npy_header(shape=(200, 1000, 1000)))
            for _ in range(200):
                file.write(bytes(10**6))
    with pytest.raises(DataError, match="the limit for a file of this size"):
        load(path)


def test_damaged_npz_is_refused(save, tmp_path):
    good = save(images=IMAGES).read_bytes()
    path = tmp_path / "damaged.npz"
    for length in (0, 10, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(DataError, match="cannot be read"):
            load(path)
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1  # a pixel
    path.write_bytes(flipped)
    with pytest.raises(DataError, match="CRC"):
        load(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", npy_header() + bytes(8))
    with pytest.raises(DataError, match="packed in a way"):
        load(path)


def test_npz_without_the_expected_names(save):
    with pytest.raises(DataError, match="holds a, b; expected x_train"):
        load(save(a=IMAGES, b=IMAGES))
    with pytest.raises(DataError, match="expected x_train"):
        load(save(x_test=IMAGES, y_test=LABELS))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    flips=st.lists(st.tuples(st.integers(0, 999), st.integers(1, 255)), max_size=3),
    packed=st.booleans(),
)
def test_mutated_files_give_an_array_or_a_data_error(tmp_path_factory, flips, packed):
    data = bytearray(npy_header() + bytes(range(8)))
    data = bytearray(member(bytes(data))) if packed else data
    for position, mask in flips:
        data[position % len(data)] ^= mask
    path = tmp_path_factory.getbasetemp() / ("m.npz" if packed else "m.npy")
    path.write_bytes(bytes(data))
    try:
        array_files.read_path(path)
    except DataError as error:
        assert "\n" not in str(error)
