"""Somebody's batches -> batches of one shape, checked as images in an array are.

Checks run where the batches are made, on the host, beside the training steps. What they
find is raised from inside a program; `in_one_sentence` brings it out again.
"""

import contextlib
import re
from typing import Any

import tensorflow as tf

from keras_vae.data import checks
from keras_vae.data.checks import ImageSpec
from keras_vae.errors import DataError, UsageError

ERRORS = {"DataError": DataError, "UsageError": UsageError}


@contextlib.contextmanager
def in_one_sentence():
    """Raises what a check inside a data set found as the error that it was."""
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(rf"\b({'|'.join(ERRORS)}): (.*)", str(error))
        if found is None:
            raise
        raise ERRORS[found[1]](found[2]) from None


def parts_of(batch: Any) -> tuple:
    """Images, labels and weight of a batch; None for what it does not have.

    Args:
        batch: Images, (images, labels), (images, labels, weight), or a dict `image` and
            `label` in the place of the images.

    Raises:
        DataError: If it is none of these.
    """
    parts = tuple(batch) if isinstance(batch, list | tuple) else (batch,)
    if not 1 <= len(parts) <= 3:
        raise DataError(
            "Expected batches of images, (images, labels) or (images, labels, weights);"
            f" got {len(parts)} parts."
        )
    images, labels, weight = (*parts, None, None)[:3]
    if isinstance(images, dict):  # as tensorflow-datasets gives them
        images, label = checks.of_dict(images)
        labels = label if labels is None else labels
    return images, labels, weight


def standard(data: tf.data.Dataset, spec: ImageSpec) -> tf.data.Dataset:
    """Batches in the form that a model takes, checked, of the lengths they come in.

    Args:
        data: Batches as `parts_of` takes them.
        spec: What the model takes.

    Returns:
        `tf.data.Dataset` of images uint8 or float32 (B, H, W, C), labels int64 (B,),
        weight float32 (B,). Reading it raises a TensorFlow error that
        `in_one_sentence` translates.

    Raises:
        DataError: If the shapes break the rules of `checks.checked_arrays`.
        UsageError: If a conditional model gets no labels.
    """

    @tf.autograph.experimental.do_not_convert  # it would rewrite what we raise
    def one(number, batch):
        images, labels, weight = parts_of(batch)
        images = _checked_images(images, number, spec)
        length = tf.shape(images)[0]
        labels = _checked_labels(labels, length, spec)
        return images, labels, _checked_weights(weight, length)

    return data.enumerate().map(one)


def of_one_shape(
    data: tf.data.Dataset, batch_size: int | None = None
) -> tf.data.Dataset:
    """Pads every batch to the same static shape, with zeros of weight 0.

    Args:
        data: What `standard` returns.
        batch_size: int, the length B of all batches; None takes that of the first one,
            which is read for it.

    Returns:
        `tf.data.Dataset` of images (B, H, W, C), labels (B,), weight (B,).
    """
    spec: Any = data.element_spec
    size: Any = batch_size or spec[0].shape[0]
    if size is None:
        first = next(iter(data.take(1)), None)
        if first is None:
            raise DataError("The tf.data.Dataset gave no batch.")
        size = first[0].shape[0]

    @tf.autograph.experimental.do_not_convert
    def padded(*parts):
        count = tf.shape(parts[0])[0]
        missing = size - count
        missing = _check(_check_length, missing >= 0, [count, size], missing)
        return tuple(
            tf.ensure_shape(
                tf.pad(part, [[0, missing]] + [[0, 0]] * (part.shape.rank - 1)),
                (size, *part.shape[1:]),
            )
            for part in parts
        )

    return data.map(padded)


def _checked_images(images, number, spec):
    """Images uint8 or float32 (B, H, W, C); see `checks.checked_arrays`."""
    if not isinstance(images, tf.Tensor):
        kind = type(images).__name__
        raise DataError(f"Expected the images of a batch in one tensor; got a {kind}.")
    if images.dtype == tf.bool:
        images = tf.cast(images, tf.uint8) * 255
    dtype = images.dtype
    highest = checks.highest_pixel(dtype.name)
    if images.shape.rank is not None and images.shape[1:].is_fully_defined():
        checks.check_shape(images.shape, spec.image_shape)
    else:
        images = _check(
            lambda shape: checks.check_shape(shape.tolist(), spec.image_shape),
            _is_one_of(tf.shape(images)[1:], checks.shapes_of(spec.image_shape)),
            [tf.shape(images)],
            images,
        )
    if dtype != tf.uint8:
        images = tf.cast(images, tf.float32 if highest == 1 else tf.int64)
        low, high = tf.reduce_min(images), tf.reduce_max(images)
        images = _check(
            lambda images, number: checks.check_pixels(
                images, dtype.name, f" of batch {number}"
            ),
            (low >= 0) & (high <= highest),
            [images, number],
            images,
        )
    images = tf.cast(images, tf.float32 if highest == 1 else tf.uint8)
    return tf.reshape(images, (-1, *spec.image_shape))


def _checked_labels(labels, length, spec):
    """Labels int64 (B,); see `checks.checked_labels`."""
    if spec.num_classes is None:
        return tf.zeros([length], tf.int64)
    if labels is None or (labels.shape.rank or 0) > 2:  # an autoencoder's (x, x)
        raise UsageError(checks.NO_LABEL)
    checks.check_label_dtype(labels.dtype.name, spec.num_classes)
    given = tf.reshape(labels, [-1])
    labels = tf.cast(given, tf.int64)
    in_range = tf.reduce_all((labels >= 0) & (labels < spec.num_classes))
    whole = tf.reduce_all(tf.cast(labels, given.dtype) == given)
    return _check(
        lambda given, length: checks.check_labels(given, length, spec.num_classes),
        (tf.size(labels) == length) & in_range & whole,
        [given, length],
        labels,
    )


def _checked_weights(weight, length):
    """Weight float32 (B,), 1 where there is none."""
    if weight is None:
        return tf.ones([length])
    weight = tf.reshape(tf.cast(weight, tf.float32), [-1])
    usable = tf.reduce_all((weight >= 0) & (weight < float("inf")))
    return _check(
        checks.check_weights,
        (tf.size(weight) == length) & usable,
        [weight, length],
        weight,
    )


def _check(check, holds, values, tensor):
    """A tensor; where a condition does not hold, `check` of the values must raise."""

    def refuse():
        done = tf.numpy_function(lambda *values: check(*values) or 0, values, tf.int64)
        with tf.control_dependencies([done]):
            return tf.identity(tensor)

    return tf.cond(holds, lambda: tensor, refuse)


def _check_length(length, batch_size):
    raise DataError(
        f"Expected batches of at most {batch_size} images, as many as the first one "
        f"has; got {length}."
    )


def _is_one_of(shape, shapes):
    """Whether a shape, known only when it comes, is one of some."""
    return tf.reduce_any(
        [
            tf.cond(
                tf.size(shape) == len(one),
                lambda one=one: tf.reduce_all(shape == one),
                lambda: tf.constant(False),
            )
            for one in shapes
        ]
    )
