"""The cache of decoded images: whole or not there, and of what it says."""

import errno
import json
import os
import signal
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from keras_vae.data import row_file
from keras_vae.data.row_file import RowFile, found_rows, write_rows
from keras_vae.data.sources import load
from keras_vae.errors import DataError, OutputError

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 3), np.uint8)


class Memory:
    """A store in memory."""

    image_shape = IMAGES.shape[1:]

    def __len__(self):
        return len(IMAGES)

    def read(self, rows):
        return IMAGES[rows]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "cache" / "a.images"
    write_rows(path, {"made_from": "x", "more": [1, "é"]}, Memory())
    return path


def test_rows_come_back_in_any_order(path):
    rows = found_rows(path, "x")
    assert rows.about == {"made_from": "x", "more": [1, "é"]}
    assert len(rows) == 50 and rows.image_shape == (6, 5, 3)
    for numbers in (np.arange(50), np.array([[7, 7, 0], [49, 3, 1]]), np.arange(0)):
        np.testing.assert_array_equal(rows.read(numbers), IMAGES[numbers])
    assert [entry.name for entry in path.parent.iterdir()] == ["a.images"]


def test_rows_made_from_something_else_count_as_none(path, tmp_path):
    assert found_rows(path, "y") is None
    assert found_rows(tmp_path / "b.images", "x") is None


def test_every_cut_and_every_change_of_the_header_counts_as_none(path):
    data = path.read_bytes()
    header = len(data) - IMAGES.size
    for length in [*range(header + 40), len(data) - 1, len(data) + 1]:
        path.write_bytes((data + b"x")[:length])
        assert found_rows(path, "x") is None, length
    for place in range(header):
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(changed)
        rows = found_rows(path, "x")
        if rows is not None:  # what changed is a remark about the images
            np.testing.assert_array_equal(rows.read(np.arange(50)), IMAGES)


def test_a_file_that_lies_about_its_size_allocates_nothing(tmp_path):
    about = {"about": {"made_from": "x"}, "shape": [2**40, 2**20, 2**20, 3]}
    text = json.dumps(about).encode()
    path = tmp_path / "a.images"
    path.write_bytes(row_file.MAGIC + len(text).to_bytes(8, "little") + text)
    with pytest.raises(DataError, match="no images that can be read"):
        RowFile(path)
    path.write_bytes(row_file.MAGIC + (2**60).to_bytes(8, "little") + text)
    with pytest.raises(DataError):
        RowFile(path)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    class Broken(Memory):
        def read(self, rows):
            raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.images"
    message = "a.images cannot be written .No space left on device.; free space or"
    with pytest.raises(OutputError, match=message):
        write_rows(path, {}, Broken())
    full = types.SimpleNamespace(free=100)
    monkeypatch.setattr(row_file.shutil, "disk_usage", lambda folder: full)
    with pytest.raises(OutputError, match="of which its disk has 0.0 GB"):
        write_rows(path, {}, Memory())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file is not a folder; choose one"):
        write_rows(tmp_path / "file" / "a.images", {}, Memory())


def test_two_writers_are_kept_apart(tmp_path):
    path = tmp_path / "a.images"

    class Meanwhile(Memory):
        def read(self, rows):
            with pytest.raises(OutputError, match="Another training is writing to"):
                write_rows(tmp_path / "b.images", {}, Memory())
            return super().read(rows)

    write_rows(path, {"made_from": "x"}, Meanwhile())
    assert len(found_rows(path, "x")) == 50


def test_a_killed_writer_leaves_nothing_that_counts(tmp_path):
    code = (
        "import os, signal, sys; sys.path[:0] = sys.argv[2:]\n"
        "from tests.data.test_row_file import Memory\n"
        "from keras_vae.data import row_file\n"
        "from pathlib import Path\n"
        "row_file.ROWS = 10\n"
        "class Killed(Memory):\n"
        "    def read(self, rows):\n"
        "        if rows[0] == 30:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().read(rows)\n"
        "path = Path(sys.argv[1])\n"
        "row_file.write_rows(path, {'made_from': 'x'}, Killed())\n"
    )
    path = tmp_path / "a.images"
    done = subprocess.run([sys.executable, "-c", code, path, os.getcwd()])
    assert done.returncode == -signal.SIGKILL
    assert [entry.name for entry in tmp_path.iterdir()] == [".tmp-a.images"]
    assert found_rows(path, "x") is None
    write_rows(tmp_path / "b.images", {"made_from": "x"}, Memory())
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.images"]


# --- of a folder --------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    return folder


def images_of(source):
    return np.concatenate([source.train.images, source.test.images])


def test_a_cache_serves_until_a_file_or_an_option_changes(
    folder, tmp_path, monkeypatch
):
    cache = tmp_path / "cache"
    options = {"cache": cache, "validation_images": 0}
    first = load(folder, **options)
    (made,) = cache.iterdir()

    def refused(*args):
        raise AssertionError("opened")

    with monkeypatch.context() as patched:
        for name in ("read_header", "undecodable"):
            patched.setattr(f"keras_vae.data.image_folders.{name}", refused)
        patched.setattr("keras_vae.data.decoding.read_image", refused)
        for seed in (0, 1):
            again = load(folder, seed=seed, **options)
            assert again.found == first.found
            if seed == 0:
                np.testing.assert_array_equal(images_of(again), images_of(first))
    assert list(cache.iterdir()) == [made]

    Image.fromarray(255 - IMAGES[7]).save(folder / "07.png")
    changed = load(folder, **options)
    assert len(list(cache.iterdir())) == 2
    np.testing.assert_array_equal(
        images_of(changed), images_of(load(folder, validation_images=0))
    )
    assert (images_of(changed) != images_of(first)).any()
    load(folder, channels=1, **options)
    load(folder, background="red", **options)
    assert len(list(cache.iterdir())) == 4


def test_a_damaged_cache_is_made_anew(folder, tmp_path):
    cache = tmp_path / "cache"
    first = load(folder, cache=cache)
    (made,) = cache.iterdir()
    made.write_bytes(made.read_bytes()[:-1])
    again = load(folder, cache=cache)
    np.testing.assert_array_equal(images_of(again), images_of(first))


def test_broken_files_are_left_out_of_a_cache(folder, tmp_path):
    (folder / "zz.png").write_bytes((folder / "00.png").read_bytes()[:60])
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match="zz.png: cannot be .*of 51 images 1 cannot"):
        load(folder, cache=cache)
    assert list(cache.iterdir()) == []
    for _ in range(2):
        source = load(folder, cache=cache, skip_broken=True)
        assert "1 broken, left out: zz.png." in source.found
        assert len(source.train) + len(source.validation) + len(source.test) == 50
