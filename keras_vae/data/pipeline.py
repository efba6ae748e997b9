"""Images by number -> batches of one shape: (images, labels, weight).

The order of an epoch is a pure function of (seed, epoch): there is no shuffle buffer
whose state a resumed run would lack. Images are read by number, many batches at once,
where they are: TensorFlow gets no copy of them all, and a run that goes on within an
epoch reads none of those before. They keep their dtype until the compiled step scales
them. The last batch of an
epoch is padded to full length with images of weight 0, so that every batch has the same
static shape and a program for it is compiled once.

A slice is K batches stacked, for `keras_vae.training.fused_steps`: (number, (images,
labels, weight)) with tensors (K, B, ...), of which only the first `number` batches
count.
"""

import math
import weakref
from typing import Any

import numpy as np
import tensorflow as tf

index_shuffle = tf.random.experimental.index_shuffle  # pyright: ignore


def training_batches(
    images,
    labels,
    image_weight=None,
    *,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    first_step: int = 0,
    slice_steps: int | None = None,
) -> tf.data.Dataset:
    """Shuffled epochs of batches without end.

    Args:
        images: (N, H, W, C), N >= 1, or a `splits.Store` of them.
        labels: int64 (N,).
        image_weight: float32 (N,), how much each image counts, or None for 1.
        batch_size: int B >= 1; the last batch of an epoch may hold padding.
        seed: int in [0, 2**24), of the order.
        first_epoch: int >= 0, the epoch to begin with.
        first_step: int >= 0, how many batches of that epoch to leave out.
        slice_steps: int K or None; with an int, slices of K batches, the last one of an
            epoch with fewer.

    Returns:
        `tf.data.Dataset` of images (B, H, W, C), labels int64 (B,) and weight float32
        (B,), 0 for padding, ceil(N / B) of them an epoch; or slices of them.

    Example:
        >>> batches = training_batches(images, labels, batch_size=128, seed=0)
        >>> for x, label, weight in batches.take(2):
        ...     print(x.shape, label.shape, float(tf.reduce_sum(weight)))
        (128, 28, 28, 1) (128,) 128.0
        (128, 28, 28, 1) (128,) 128.0
    """
    number = len(images)

    def epoch_rows(epoch):
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = index_shuffle(
            tf.range(number, dtype=tf.int64), tf.cast(key, tf.int32), number - 1
        )
        rows = tf.data.Dataset.from_tensor_slices(_padded_rows(order, batch_size))
        skipped = tf.where(epoch == first_epoch, tf.constant(first_step, tf.int64), 0)
        rows = rows.skip(skipped)
        return rows if slice_steps is None else in_slices(rows, slice_steps)

    rows = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    dataset = _gathered(rows.flat_map(epoch_rows), images, labels, image_weight)
    return _read_ahead(dataset, slice_steps)


def in_slices(batches: tf.data.Dataset, slice_steps: int) -> tf.data.Dataset:
    """Stacks batches of one shape.

    Args:
        batches: of tensors with static shapes.
        slice_steps: int K >= 1.

    Returns:
        `tf.data.Dataset` of slices: number int32 (), and each tensor stacked to
        (K, ...), zeros beyond `number`, which is K but for the last slice.
    """

    def padded(*parts):
        number = tf.shape(parts[0])[0]
        stacked = tuple(
            tf.ensure_shape(
                tf.pad(
                    part, [[0, slice_steps - number]] + [[0, 0]] * (part.shape.rank - 1)
                ),
                (slice_steps, *part.shape[1:]),
            )
            for part in parts
        )
        return number, stacked

    return batches.batch(slice_steps).map(padded)


def rows_of_replicas(
    batches: tf.data.Dataset, replicas: int, first: int, number: int
) -> tf.data.Dataset:
    """Each batch in equal parts, one after the other, of which some are kept.

    Args:
        batches: of tensors (B, ...).
        replicas: int, parts of a batch; it divides B.
        first: int, the first part that is kept.
        number: int, parts that are kept.

    Returns:
        `tf.data.Dataset` of tensors (B / replicas, ...), `number` from each batch.
    """

    def parts(*batch):
        kept = tuple(
            tf.reshape(part, (replicas, -1, *part.shape[1:]))[first : first + number]
            for part in batch
        )
        return tf.data.Dataset.from_tensor_slices(kept)

    return batches.flat_map(parts).prefetch(2 * number)


def evaluation_batches(
    images,
    labels,
    image_weight=None,
    *,
    batch_size: int,
    slice_steps: int | None = None,
) -> tf.data.Dataset:
    """Every image once, in order.

    Args:
        images: (N, H, W, C), N >= 1, or a `splits.Store` of them.
        labels: int64 (N,).
        image_weight: float32 (N,), how much each image counts, or None for 1.
        batch_size: int B >= 1.
        slice_steps: int K or None; with an int, slices of K batches.

    Returns:
        `tf.data.Dataset` of ceil(N / B) batches, as from `training_batches`.
    """
    rows = _padded_rows(np.arange(len(images)), batch_size)
    dataset = tf.data.Dataset.from_tensor_slices(rows)
    if slice_steps is not None:
        dataset = in_slices(dataset, slice_steps)
    dataset = _gathered(dataset, images, labels, image_weight)
    return _read_ahead(dataset, slice_steps)


def _read_ahead(dataset, slice_steps):
    """While one slice is used one is read: that is memory, up to 64 MiB a slice."""
    return dataset.prefetch(2 if slice_steps is None else 1)


def _padded_rows(order, batch_size):
    """Row indices (steps, batch_size) and weights; padding repeats row 0, weight 0."""
    number = order.shape[0]
    steps = math.ceil(number / batch_size)
    padding = [0, steps * batch_size - number]
    indices = tf.pad(tf.cast(order, tf.int64), [padding])
    weight = tf.pad(tf.ones(number), [padding])
    shape = (steps, batch_size)
    return tf.reshape(indices, shape), tf.reshape(weight, shape)


def _gathered(rows, images, labels, image_weight):
    by_number = _by_number(images)

    def gather(indices, weight):
        if image_weight is not None:
            weight = weight * tf.gather(image_weight, indices)
        return by_number(indices), tf.gather(labels, indices), weight

    if len(spec := spec_of(rows)) == 2 and isinstance(spec[1], tuple):
        dataset = rows.map(lambda number, slices: (number, gather(*slices)))
    else:
        dataset = rows.map(gather)
    # Rewriting the graph of so short a pipeline gains nothing.
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    dataset = dataset.with_options(options)
    setattr(dataset, "images", images)  # noqa: B010, for as long as it is read
    return dataset


def _by_number(images):
    """From numbers of images, in a graph, to the images."""
    in_memory = isinstance(images, np.ndarray)
    dtype = tf.as_dtype(images.dtype) if in_memory else tf.uint8
    shape = images.shape[1:] if in_memory else images.image_shape
    # TensorFlow never lets go of a Python function that a graph calls: of the images
    # it must not be the owner.
    found: Any = weakref.ref(images)

    def read(rows):
        images = found()
        return images.take(rows, axis=0) if in_memory else images.read(rows)

    def by_number(rows):
        pixels = tf.numpy_function(read, [rows], dtype)
        return tf.ensure_shape(pixels, (*rows.shape, *shape))

    return by_number


def spec_of(dataset) -> Any:
    """What the elements are; TensorFlow's types leave it open."""
    return dataset.element_spec
