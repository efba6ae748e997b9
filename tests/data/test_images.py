import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_vae.data import array_files, images
from keras_vae.data.sources import load
from keras_vae.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 6, 5, 1), np.uint8)
LABELS = np.repeat(np.arange(3), 20)


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "int64", "float16", "float32", "float64", ">i2", ">f4"]
)
def test_whole_numbers_of_any_type_are_the_same_images(save, dtype):
    source = load(save(x_train=IMAGES.astype(dtype), x_test=IMAGES.astype(dtype)))
    np.testing.assert_array_equal(source.test.images, IMAGES)
    assert source.test.images.dtype == np.uint8


def test_floats_up_to_one_are_scaled(save):
    floats = (IMAGES / 255).astype(np.float32)
    source = load(save(x_train=floats, x_test=floats))
    np.testing.assert_array_equal(source.test.images, IMAGES)


def test_booleans_become_black_and_white(save):
    source = load(save(x_train=IMAGES > 99, x_test=IMAGES > 99))
    np.testing.assert_array_equal(source.test.images, (IMAGES > 99) * 255)


def test_memory_order_does_not_matter(save, tmp_path):
    fortran = np.asfortranarray(IMAGES[..., 0])
    source = load(save(x_train=fortran, x_test=fortran))
    np.testing.assert_array_equal(source.test.images, IMAGES)
    assert source.test.images.flags.c_contiguous
    np.save(tmp_path / "one.npy", fortran)
    back = array_files.read_npy(tmp_path / "one.npy")
    np.testing.assert_array_equal(back, fortran)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.25, 256.0, -1.0])
def test_first_bad_image_is_named(save, monkeypatch, value):
    monkeypatch.setattr(images, "CHUNK_VALUES", 200)  # so that there are several chunks
    wrong = IMAGES.astype(np.float32)
    wrong[17, 2, 3, 0] = wrong[40, 0, 0, 0] = value
    path = save(x_train=IMAGES.astype(np.float32), x_test=wrong)
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
def test_arrays_that_are_no_images_are_refused(save, tmp_path, array, message):
    with pytest.raises(DataError, match=message):
        load(save(array=array))
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
def test_bad_labels_are_refused(save, labels, message):
    with pytest.raises(DataError, match=message):
        load(save(images=IMAGES, labels=labels))


def test_boolean_labels_are_two_classes(save):
    source = load(save(images=IMAGES, labels=LABELS > 1))
    assert source.num_classes == 2


def test_labels_of_cifar_shape_and_of_float_type(save):
    source = load(save(images=IMAGES, labels=LABELS[:, None].astype(float)))
    assert source.num_classes == 3 and source.train.labels.dtype == np.int64


@pytest.mark.parametrize(
    "test, message",
    [
        ({"x_test": IMAGES[:, :5]}, "differ from the train images in size"),
        ({"x_test": IMAGES / 255}, "differ from the train images in scale"),
        ({"x_test": IMAGES, "y_test": LABELS}, "differ from the train images in label"),
    ],
)
def test_splits_that_do_not_match_are_refused(save, test, message):
    with pytest.raises(DataError, match=message):
        load(save(x_train=IMAGES, **test))


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
