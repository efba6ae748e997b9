"""Whatever a user passes to `fit` or `evaluate` -> batches of one shape.

One adapter a kind, in the order of `batches_of`: a split, a `tf.data.Dataset`, a
`keras.utils.PyDataset`, arrays, and anything that yields batches. `fit` and `evaluate`
see only what comes out.
"""

import itertools
import math
import threading
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_vae.data import checks, pipeline, streams
from keras_vae.data.checks import ImageSpec, checked_arrays
from keras_vae.data.splits import ArraySplit, Split, SupportsArray
from keras_vae.data.start import FROM_THE_FIRST, Start
from keras_vae.errors import DataError, UsageError


@dataclass(frozen=True)
class Batches:
    """Batches (images, labels, weight) of one static shape.

    Attributes:
        spec: Of a batch: `tf.TensorSpec` of images (B, H, W, C), labels int64 (B,),
            weight float32 (B,), 0 for images that only pad the batch.
        steps: int, batches in an epoch; None where only reading them tells.
        dataset: From K to slices of K batches (see `pipeline.in_slices`), from None to
            the batches; without end where `steps` is known.
        divisible: Whether K must divide `steps`, for slices know no epochs.
        once: Whether one pass is all that the data can be read.
        may_end: Whether they may end before `steps`, a wish of the user's.
        digest: A checksum of the data, where there is one.
    """

    spec: Any
    steps: int | None
    dataset: Callable[[int | None], tf.data.Dataset]
    divisible: bool = False
    once: bool = False
    may_end: bool = False
    digest: Callable[[], str | None] = lambda: None

    def in_epochs_of(self, steps: int) -> "Batches":
        """The same batches in epochs of another length, which go on in the data."""

        def dataset(slice_steps):
            batches = self.dataset(None)
            return batches if slice_steps is None else _slices(batches, slice_steps)

        return replace(
            self,
            steps=steps,
            dataset=dataset,
            divisible=True,
            once=False,
            may_end=self.steps is None,
        )

    def first(self, steps: int) -> "Batches":
        """The first batches of the data, again and again; the next, if read once."""

        def dataset(slice_steps):
            batches = self.dataset(None).take(steps)
            if slice_steps is not None:
                batches = pipeline.in_slices(batches, slice_steps)
            # what is read ahead is lost where it can be read once
            options = tf.data.Options()
            options.experimental_optimization.inject_prefetch = not self.once
            batches = batches.repeat().with_options(options)
            return batches if self.once else batches.prefetch(2)

        return Batches(self.spec, steps, dataset)


def batches_of(
    x,
    y=None,
    sample_weight=None,
    *,
    spec: ImageSpec,
    batch_size: int,
    seed: int | None = None,
    start: Start = FROM_THE_FIRST,
    prepare: Callable[..., np.ndarray] | None = None,
) -> Batches:
    """Brings data of any kind into batches of one shape.

    Args:
        x: A `Split`; an array of images, or a dict of arrays `image` and `label`; or
            batches of images, (images, labels), (images, labels, weight) or such dicts
            in a `tf.data.Dataset`, a `keras.utils.PyDataset` or anything iterable.
        y: int (N,), labels of images in an array.
        sample_weight: float (N,), weights of images in an array.
        spec: What the model takes.
        batch_size: int B >= 1, where `x` is not in batches already.
        seed: int, for epochs in an order that is a function of (seed, epoch), of images
            in an array or the batches of a `PyDataset`; None for the order given.
        start: Where to begin. Batches of somebody's are read from the first one, and
            those that a training has had before are left out.
        prepare: A function of a module, from the checked images of an array or a split,
            and `first`, the number of the first of them, to those to be used; without
            a `seed`.

    Returns:
        `Batches`.

    Raises:
        DataError: If images or labels cannot be used.
        UsageError: If `x` is of no known kind, or `y` has no use.

    Example:
        >>> images = np.zeros((1000, 28, 28, 1), np.uint8)
        >>> batches_of(images, spec=ImageSpec((28, 28, 1)), batch_size=128).steps
        8
    """
    if isinstance(x, dict):
        x, label = checks.of_dict(x)
        y = label if y is None else y
    if isinstance(x, SupportsArray | list):
        x = ArraySplit(*one_batch(x, y, sample_weight, spec, prepare))
    elif y is not None or sample_weight is not None:
        raise UsageError(
            f"y and sample_weight go with images in an array; a {type(x).__name__} has "
            "its own: (images, labels, weights) in its batches."
        )
    elif isinstance(x, ArraySplit):
        images, labels = checked_arrays(x.images, x.labels, spec)
        images = images if prepare is None else prepare(images)
        x = ArraySplit(images, labels, x.weight)
    elif isinstance(x, Split):
        checks.check_shape((len(x), *x.image_shape), spec.image_shape)
        checks.checked_labels(x.labels, len(x), spec)
    if isinstance(x, Split):
        in_memory = isinstance(x, ArraySplit)  # and prepared
        return _of_split(x, batch_size, seed, start, None if in_memory else prepare)
    return _of_stream(stream_of(x, spec, seed, start), start)


def one_batch(x, y, sample_weight, spec: ImageSpec, prepare=None):
    """Arrays as a batch: checked images, labels, and weights, which may be None."""
    images, labels = checked_arrays(x, y, spec)
    if sample_weight is not None:
        sample_weight = checks.checked_weights(sample_weight, len(images))
    images = images if prepare is None else prepare(images)
    return images, labels, sample_weight


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


def _of_split(split, batch_size, seed, start, prepare):
    dtype = split.images.dtype if isinstance(split, ArraySplit) else "uint8"
    spec = (
        tf.TensorSpec((batch_size, *split.image_shape), dtype),
        tf.TensorSpec((batch_size,), "int64"),
        tf.TensorSpec((batch_size,), "float32"),
    )

    steps = math.ceil(len(split) / batch_size)

    def dataset(slice_steps):
        if prepare is not None:
            batches = split.batches(batch_size).enumerate().map(prepared)
            found = batches if slice_steps is None else _slices(batches, slice_steps)
            return found.repeat()
        epoch, step = divmod(start.batches(steps), steps)
        if seed is None:
            batches = split.batches(batch_size, slice_steps=slice_steps).repeat()
            return batches.skip(math.ceil(step / (slice_steps or 1)))
        return split.batches(
            batch_size,
            seed=seed,
            first_epoch=epoch,
            first_step=step,
            slice_steps=slice_steps,
        )

    def prepared(number, batch):
        images, *others = batch
        images = tf.numpy_function(
            lambda images, first: prepare(images, first=int(first)),
            [images, number * batch_size],
            images.dtype,
        )
        return tf.ensure_shape(images, spec[0].shape), *others

    return Batches(spec, steps, dataset, digest=split.digest)


def _of_stream(stream, start):
    """Somebody's batches; the steps and the largest batch are known or found out."""
    batches = streams.of_one_shape(stream.batches, stream.batch_size)
    if not stream.once:  # Keras makes a new iterator for each validation
        batches = batches.prefetch(tf.data.AUTOTUNE)

    had = start.resumed and not stream.begun

    def dataset(slice_steps):
        found = batches if slice_steps is None else _slices(batches, slice_steps)
        if stream.steps is None:  # in epochs of another length there is one pass
            return found.skip(start.batches(0)) if had else found
        epoch, step = divmod(start.batches(stream.steps), stream.steps)
        in_call = slice_steps or 1
        calls = epoch * math.ceil(stream.steps / in_call) + math.ceil(step / in_call)
        return found.repeat().skip(calls if had else 0)

    spec = pipeline.spec_of(batches)
    return Batches(spec, stream.steps, dataset, once=stream.once)


def _slices(batches, slice_steps):
    return pipeline.in_slices(batches, slice_steps).prefetch(2)


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
