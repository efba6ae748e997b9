"""Somebody's batches -> a `tf.data.Dataset` of checked batches: one adapter a kind."""

import itertools
import threading
from collections.abc import Iterable, Sized
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_vae.data import checks, streams
from keras_vae.data.checks import ImageSpec, checked_arrays
from keras_vae.data.start import FROM_THE_FIRST, Start
from keras_vae.errors import DataError, UsageError


class Stream(NamedTuple):
    """Checked batches of the lengths they come in.

    Attributes:
        batches: Of images (B, H, W, C), labels (B,), weight (B,).
        steps: int, their number; None where only reading them tells.
        batch_size: int, the length of the first one; None where that is not known.
        once: Whether one pass is all that they can be read.
        begun: Whether they begin where they are to.
    """

    batches: tf.data.Dataset
    steps: int | None
    batch_size: int | None = None
    once: bool = False
    begun: bool = False


def stream_of(
    x, spec: ImageSpec, seed: int | None = None, start: Start = FROM_THE_FIRST
):
    """Brings somebody's batches into a `tf.data.Dataset`.

    Args:
        x: Batches; see `batches_of`.
        spec: What the model takes.
        seed: int, for batches of a `PyDataset` in the order of (seed, epoch).
        start: Where a `PyDataset` is to begin.

    Returns:
        `Stream`.

    Raises:
        DataError: If images or labels cannot be used.
        UsageError: If `x` is of no known kind.
    """
    if isinstance(x, tf.data.Dataset):
        return _of_dataset(x, spec)
    if isinstance(x, keras.utils.PyDataset):
        return _of_py_dataset(x, spec, seed, start)
    if isinstance(x, Iterable) and not isinstance(x, str):
        return _of_iterable(x, spec)
    raise UsageError(
        f"Expected an array of images, or batches of them in a tf.data.Dataset, a "
        f"keras.utils.PyDataset or a generator; got {type(x).__name__}."
    )


def _of_dataset(data, spec):
    batches = streams.standard(data, spec)
    if (steps := int(batches.cardinality())) == 0:  # perhaps for drop_remainder
        raise _no_batch(data)
    return Stream(batches, None if steps < 0 else steps)  # endless, or unknown


def _of_py_dataset(data, spec, seed, start):
    """A `PyDataset`: batches by number, each epoch in an order of its own."""
    if (steps := data.num_batches) is None:
        return _of_iterable((data[k] for k in itertools.count()), spec)
    if steps == 0:
        raise _no_batch(data)
    epoch, skipped = divmod(start.batches(steps), steps)
    had = itertools.chain([skipped], itertools.repeat(0))  # of an epoch's batches
    epochs = zip(itertools.count(epoch), had, strict=True)
    made = threading.Semaphore(0)  # batches of this epoch

    def numbers():
        nonlocal made
        made = threading.Semaphore(0)
        epoch, skipped = next(epochs)
        data.on_epoch_begin()
        order = np.arange(steps)
        if seed is not None:
            order = np.random.default_rng([seed, epoch]).permutation(steps)
        yield from order[skipped:]
        for _ in range(
            steps - skipped
        ):  # not while workers are at the epoch's last batches
            made.acquire()
        data.on_epoch_end()

    first = _arrays(data[0], spec)
    kinds = [part.dtype for part in first]

    def one(number):
        try:
            return _arrays(data[int(number)], spec, first)
        finally:
            made.release()

    def batch(number):
        parts = tf.py_function(one, [number], kinds)
        for part, example in zip(parts, first, strict=True):
            part.set_shape((None, *example.shape[1:]))
        return tuple(parts)

    found = tf.data.Dataset.from_generator(
        numbers, output_signature=tf.TensorSpec((), "int64")
    ).map(batch, num_parallel_calls=max(1, data.workers))
    return Stream(found, steps, len(first[0]), begun=True)


def _of_iterable(data, spec):
    """Anything that yields batches: a generator, a PyTorch `DataLoader`, ..."""
    iterator = iter(data)
    try:
        first = _arrays(next(iterator), spec)
    except StopIteration:
        raise _no_batch(data) from None
    once = iterator is data  # a generator goes on, others start again

    def checked(batches):
        return (_arrays(batch, spec, first) for batch in batches)

    rest = itertools.chain([first], checked(iterator))

    def elements():
        return rest if once else checked(data)

    signature = tuple(
        tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in first
    )
    found = tf.data.Dataset.from_generator(elements, output_signature=signature)
    steps = len(data) if isinstance(data, Sized) else None
    return Stream(found, steps, len(first[0]), once)


def _no_batch(data):
    return DataError(f"The {type(data).__name__} gave no batch.")


def _arrays(batch, spec, first=None):
    """A batch as arrays (images, labels, weight), of the dtypes of the first one."""
    images, labels, weight = streams.parts_of(batch)
    images, labels = checked_arrays(images, labels, spec)
    if first is not None and images.dtype != first[0].dtype:
        raise DataError(
            f"Expected {first[0].dtype} images, as in the first batch; got "
            f"{images.dtype}."
        )
    weight = np.ones(len(images)) if weight is None else weight
    return images, labels, checks.checked_weights(weight, len(images))
