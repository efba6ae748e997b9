"""Images in memory -> batches of one shape: (images, labels, weight).

The order of an epoch is a pure function of (seed, epoch): there is no shuffle buffer
whose state a resumed run would lack. One element of the data set is one batch, gathered
by a vector of indices; images keep their dtype until the compiled step scales them. The
last batch is padded to full length with images of weight 0, so that every batch has the
same static shape and a program for it is compiled once.
"""

import math

import keras
import numpy as np
import tensorflow as tf


class TrainingBatches:
    """One shuffled epoch of training batches, again and again.

    Args:
        images: (N, H, W, C), N >= 1.
        labels: int64 (N,).
        batch_size: int B >= 1; the last batch of an epoch may hold padding.
        seed: int in [0, 2**24), of the order.

    Attributes:
        dataset: `tf.data.Dataset` of one epoch: images (B, H, W, C), labels int64 (B,)
            and weight float32 (B,), 0 for padding and else 1.
        epoch: int64 variable, the epoch whose order the next iteration takes.

    Example:
        >>> batches = TrainingBatches(images, labels, 128, seed=0)
        >>> batches.epoch.assign(3)
        >>> for images, labels, weight in batches.dataset:
        ...     train(images, weight)
    """

    def __init__(self, images, labels, batch_size: int, seed: int):
        number = len(images)
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)

        def order(_):
            key = tf.stack([tf.constant(seed, tf.int64), self.epoch.read_value()])
            return tf.data.Dataset.from_tensor_slices(
                _padded_rows(
                    tf.random.experimental.index_shuffle(
                        tf.range(number, dtype=tf.int64),
                        tf.cast(key, tf.int32),
                        number - 1,
                    ),
                    batch_size,
                )
            )

        rows = tf.data.Dataset.from_tensors(0).flat_map(order)
        self.dataset = _gathered(rows, images, labels, batch_size)

    def follow_epochs(self) -> keras.callbacks.Callback:
        """A callback that sets `epoch` before each epoch of `fit`."""
        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: self.epoch.assign(epoch)
        )


def evaluation_batches(images, labels, batch_size: int) -> tf.data.Dataset:
    """Every image once, in order.

    Args:
        images: (N, H, W, C), N >= 1.
        labels: int64 (N,).
        batch_size: int B >= 1.

    Returns:
        As `TrainingBatches.dataset`, of ceil(N / B) batches.
    """
    rows = _padded_rows(np.arange(len(images)), batch_size)
    return _gathered(
        tf.data.Dataset.from_tensor_slices(rows), images, labels, batch_size
    )


def _padded_rows(order, batch_size):
    """Row indices (steps, batch_size) and weights; padding repeats row 0, weight 0."""
    number = order.shape[0]
    steps = math.ceil(number / batch_size)
    padding = [0, steps * batch_size - number]
    indices = tf.pad(tf.cast(order, tf.int64), [padding])
    weight = tf.pad(tf.ones(number), [padding])
    shape = (steps, batch_size)
    return tf.reshape(indices, shape), tf.reshape(weight, shape)


def _gathered(rows, images, labels, batch_size):
    with tf.device("CPU"):  # a GPU receives batches, not the data set
        # `tf.constant` holds on to a second copy, in NumPy, that `identity` lets go.
        images = tf.identity(tf.constant(images))
        labels = tf.identity(tf.constant(labels))
    dataset = rows.map(
        lambda indices, weight: (
            tf.gather(images, indices),
            tf.gather(labels, indices),
            weight,
        )
    )
    steps = math.ceil(images.shape[0] / batch_size)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    # Rewriting the graph of so short a pipeline gains nothing, and copies the images
    # anew for each iterator.
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


def of_one_shape(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Makes every batch (images, labels, weight) of the same static shape.

    Shorter batches are padded with zeros of weight 0 to the length of the first one.

    Args:
        dataset: batches of images, (images, labels), (images, labels, weight), or
            {"image": ..., "label": ...}. A data set that has the form already comes
            back as it is.

    Returns:
        `tf.data.Dataset` of images (B, ...), labels int64 (B,), weight float32 (B,).
    """
    spec = dataset.element_spec
    if isinstance(spec, tuple) and len(spec) == 3:
        if all(part is not None and part.shape.is_fully_defined() for part in spec):
            return dataset

    def standard(*parts):
        if isinstance(parts[0], dict):  # as tensorflow-datasets gives them
            parts = (parts[0]["image"], parts[0].get("label"))
        images, labels, weight = (*parts, None, None)[:3]
        length = tf.shape(images)[0]
        if labels is None or labels.shape.rank != 1:  # an autoencoder's (x, x)
            labels = tf.zeros([length], tf.int64)
        if weight is None:
            weight = tf.ones([length])
        return images, tf.cast(labels, tf.int64), tf.cast(weight, tf.float32)

    dataset = dataset.map(standard)
    first = next(iter(dataset.take(1)))
    shapes = [part.shape for part in first]

    def padded(*parts):
        missing = shapes[0][0] - tf.shape(parts[0])[0]
        return tuple(
            tf.ensure_shape(
                tf.pad(part, [[0, missing]] + [[0, 0]] * (part.shape.rank - 1)), shape
            )
            for part, shape in zip(parts, shapes, strict=True)
        )

    return dataset.map(padded).prefetch(tf.data.AUTOTUNE)
