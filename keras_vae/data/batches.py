"""Whatever a user passes to `fit` or `evaluate` -> batches of one shape.

One adapter a kind, in the order of `batches_of`: a split, a `tf.data.Dataset`, a
`keras.utils.PyDataset`, arrays, and anything that yields batches. `fit` and `evaluate`
see only what comes out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vae.data import checks, pipeline, streams
from keras_vae.data.adapters import stream_of
from keras_vae.data.checks import ImageSpec, checked_arrays
from keras_vae.data.splits import ArraySplit, Split, SupportsArray
from keras_vae.data.start import FROM_THE_FIRST, Start
from keras_vae.errors import UsageError


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
        checks.check_scale(x)
        x = ArraySplit(*one_batch(x, y, sample_weight, spec, prepare))
    elif y is not None or sample_weight is not None:
        raise UsageError(
            f"y and sample_weight go with images in an array; a {type(x).__name__} has "
            "its own: (images, labels, weights) in its batches."
        )
    elif isinstance(x, ArraySplit):
        checks.check_scale(x.images)
        x = ArraySplit(*one_batch(x.images, x.labels, x.weight, spec, prepare))
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
