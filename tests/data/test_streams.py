import numpy as np
import pytest
import tensorflow as tf

from keras_vae.data.checks import ImageSpec
from keras_vae.data.streams import in_one_sentence, of_one_shape, standard
from keras_vae.errors import DataError, UsageError

NUM = 21
IMAGES = np.arange(NUM, dtype=np.uint8).reshape(NUM, 1, 1, 1) * np.ones(
    (1, 4, 3, 2), np.uint8
)
LABELS = np.arange(NUM) % 7
SPEC = ImageSpec((4, 3, 2), num_classes=7)


def read(data, spec=SPEC, batch_size=None):
    with in_one_sentence():
        return list(of_one_shape(standard(data, spec), batch_size))


def data_set(form=lambda x, y: (x, y), batch_size=8):
    pairs = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    return pairs.batch(batch_size).map(form)


@pytest.mark.parametrize(
    "form",
    [
        lambda x, y: x,
        lambda x, y: (x,),
        lambda x, y: (x, y),
        lambda x, y: (x, x),
        lambda x, y: (x, y[:, None]),
        lambda x, y: (x, y, tf.ones(tf.shape(y))),
        lambda x, y: (x, y, tf.ones((tf.size(y), 1))),
        lambda x, y: {"image": x},
        lambda x, y: {"image": x, "label": y},
        lambda x, y: ({"image": x}, y),
        lambda x, y: tf.reshape(x, (-1, 24)),
    ],
)
def test_data_sets_of_others_get_one_form(form):
    ours = read(data_set(form), ImageSpec((4, 3, 2)))
    images, labels, weight = (np.concatenate(part) for part in zip(*ours, strict=True))
    np.testing.assert_array_equal(images[:NUM], IMAGES)
    np.testing.assert_array_equal(labels, np.zeros(NUM + 3, np.int64))  # not asked for
    np.testing.assert_array_equal(weight, [1] * NUM + [0] * 3)
    assert {tuple(part.shape) for part, *_ in ours} == {(8, 4, 3, 2)}


@pytest.mark.parametrize(
    "form",
    [
        lambda x, y: (x, y),
        lambda x, y: (x, tf.cast(y, tf.float32)),
        lambda x, y: (x, y[:, None]),
        lambda x, y: ({"image": x}, y),
        lambda x, y: {"image": x, "label": y, "id": y},
    ],
)
def test_a_conditional_model_gets_the_labels(form):
    labels = np.concatenate([labels for _, labels, _ in read(data_set(form))])
    np.testing.assert_array_equal(labels[:NUM], LABELS)


def test_batches_of_one_length_are_not_read_beforehand():
    seen = []
    data = data_set().take(2).map(lambda x, y: (x, y))
    data = tf.data.Dataset.from_generator(
        lambda: (seen.append(1) or part for part in data),
        output_signature=(
            tf.TensorSpec((8, 4, 3, 2), tf.uint8),
            tf.TensorSpec((8,), tf.int64),
        ),
    )
    of_one_shape(standard(data, SPEC))
    assert not seen


@pytest.mark.parametrize("dtype", [tf.float16, tf.float32, tf.float64, tf.bfloat16])
def test_floats_are_checked_in_every_batch(dtype):
    def data(last):
        x = np.zeros((5, 4, 3, 2))
        x[-1, -1, -1, -1] = last
        return tf.data.Dataset.from_tensor_slices(tf.cast(x, dtype)).batch(2)

    spec = ImageSpec((4, 3, 2))
    assert {images.dtype for images, *_ in read(data(1.0), spec)} == {tf.float32}
    for last in (1.5, -0.5, np.nan):
        with pytest.raises(
            DataError, match=rf"pixels in \[0, 1\].*{last}.* of batch 2"
        ):
            read(data(last), spec)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint16"])
def test_integers_are_checked_and_become_bytes(dtype):
    def data(last):
        x = np.zeros((5, 4, 3, 2), dtype)
        x[-1, -1, -1, -1] = last
        return tf.data.Dataset.from_tensor_slices(x).batch(2)

    spec = ImageSpec((4, 3, 2))
    (*_, (images, _, _)) = read(data(100), spec)
    assert images.dtype == tf.uint8 and images[0, -1, -1, -1] == 100
    wrong = -1 if dtype == "int8" else 256
    with pytest.raises(DataError, match=rf"{dtype} pixels in \[0, 255\].*{wrong}"):
        read(data(wrong), spec)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda x, y: (x, y + 1), "class numbers from 0 to 6; got 7 for image"),
        (lambda x, y: (x, tf.one_hot(y, 7)), "Expected 8 labels.*got 56"),
        (lambda x, y: (x, y[1:]), "Expected 8 labels.*got 7"),
        (lambda x, y: (x, y, tf.ones(3)), "Expected 8 sample weights.*got 3"),
        (lambda x, y: (x, y, y, y), "got 4 parts"),
        (lambda x, y: ((x, x), y), "in one tensor; got a tuple"),
        (lambda x, y: {"picture": x}, "key 'image'.*got the keys 'picture'"),
        (lambda x, y: (tf.strings.as_string(x), y), "got string"),
        (lambda x, y: (tf.transpose(x, [0, 3, 1, 2]), y), "moveaxis"),
        (lambda x, y: (x[0], y), "single image"),
        (lambda x, y: (x[:, :3], y), r"got \(None, 3, 3, 2\)"),
    ],
)
def test_batches_that_do_not_fit_are_named(form, message):
    with pytest.raises(DataError, match=message):
        read(data_set(form))


def test_labels_that_are_missing_are_named():
    with pytest.raises(UsageError, match="needs a label for each image"):
        read(data_set(lambda x, y: x))


@pytest.mark.parametrize("shape", [(None, None, None, 2), None])
def test_shapes_are_checked_when_they_come(shape):
    def data(images):
        return tf.data.Dataset.from_generator(
            lambda: iter([images]), output_signature=tf.TensorSpec(shape, tf.uint8)
        )

    ((images, _, _),) = read(data(IMAGES), ImageSpec((4, 3, 2)))
    np.testing.assert_array_equal(images, IMAGES)
    with pytest.raises(DataError, match=r"got \(21, 3, 3, 2\)"):
        read(data(IMAGES[:, :3]), ImageSpec((4, 3, 2)))


def test_a_batch_longer_than_the_first_is_named():
    with pytest.raises(DataError, match="at most 4 images.*got 8"):
        read(data_set(), batch_size=4)


def test_errors_of_others_stay_what_they_are():
    def broken():
        yield IMAGES
        raise RuntimeError("the disk is gone")

    data = tf.data.Dataset.from_generator(
        broken, output_signature=tf.TensorSpec((None, 4, 3, 2), tf.uint8)
    )
    with pytest.raises(tf.errors.UnknownError, match="the disk is gone"):
        read(data, ImageSpec((4, 3, 2)))
