"""Whatever a user passes to `fit` or `evaluate` -> batches of one shape.

One adapter a kind, in the order of `batches_of`: a split, a `tf.data.Dataset`, a
`keras.utils.PyDataset`, arrays, and anything that yields batches. `fit` and `evaluate`
see only what comes out.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_vae.data import pipeline
from keras_vae.data.splits import ArraySplit, Split, SupportsArray
from keras_vae.errors import DataError, UsageError

NO_LABEL = "A conditional VAE needs a label for each image; got none."


class ImageSpec(NamedTuple):
    """What a model takes.

    Args:
        image_shape: (H, W, C).
        num_classes: int, or None for a model without labels.
    """

    image_shape: tuple[int, int, int]
    num_classes: int | None = None


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
    """

    spec: Any
    steps: int | None
    dataset: Callable[[int | None], tf.data.Dataset]
    divisible: bool = False
    once: bool = False

    def in_epochs_of(self, steps: int) -> "Batches":
        """The same batches in epochs of another length, which go on in the data."""

        def dataset(slice_steps):
            batches = self.dataset(None)
            return batches if slice_steps is None else _slices(batches, slice_steps)

        return Batches(self.spec, steps, dataset, divisible=True)

    def first(self, steps: int) -> "Batches":
        """The first batches of the data, again and again."""

        def dataset(slice_steps):
            batches = self.dataset(None).take(steps)
            if slice_steps is not None:
                batches = _slices(batches, slice_steps)
            return batches.repeat()

        return Batches(self.spec, steps, dataset)


def batches_of(
    x,
    y=None,
    sample_weight=None,
    *,
    spec: ImageSpec,
    batch_size: int,
    seed: int | None = None,
    first_epoch: int = 0,
    prepare: Callable = lambda images: images,
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
        first_epoch: int >= 0, the epoch to begin with.
        prepare: From the checked images of an array to those to be used.

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
        x, y = _of_dict(x)
    if isinstance(x, SupportsArray | list):
        images, labels = checked_arrays(x, y, spec)
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight, np.float32).reshape(-1)
            if len(sample_weight) != len(images):
                raise DataError(
                    f"Expected {len(images)} sample weights, one for each image; got "
                    f"{len(sample_weight)}."
                )
        x = ArraySplit(prepare(images), labels, sample_weight)
    elif isinstance(x, ArraySplit):
        images, labels = checked_arrays(x.images, x.labels, spec)
        x = ArraySplit(prepare(images), labels, x.weight)
    elif isinstance(x, Split):
        _check_shape((len(x), *x.image_shape), spec.image_shape)
        checked_labels(x.labels, len(x), spec)
    elif y is not None or sample_weight is not None:
        raise UsageError(
            f"y and sample_weight go with images in an array; with a {type(x).__name__}"
            " put them into the batches: (images, labels, weights)."
        )
    if isinstance(x, Split):
        return _of_split(x, batch_size, seed, first_epoch)
    if isinstance(x, tf.data.Dataset):
        return _of_dataset(x, spec)
    if isinstance(x, keras.utils.PyDataset):
        return _of_py_dataset(x, spec, seed, first_epoch)
    if isinstance(x, Iterable):
        return _of_iterable(x, spec)
    raise UsageError(
        f"Expected an array of images, or batches of them in a tf.data.Dataset, a "
        f"keras.utils.PyDataset or a generator; got {type(x).__name__}."
    )


def checked_arrays(x, y, spec: ImageSpec) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels that a model can take.

    Args:
        x: Images (N, H, W, C), (N, H, W) where C = 1, or flat (N, H * W * C), as
            uint8, other integers in [0, 255], floats in [0, 1], or booleans.
        y: int (N,), or None for a model without labels.
        spec: What the model takes.

    Returns:
        uint8 or float32 (N, H, W, C), and int64 (N,), zeros where the model has no use
        for labels.

    Raises:
        DataError: If shapes or values break these rules.
        UsageError: If a conditional model gets no labels.
    """
    images = np.asarray(x)
    _check_shape(images.shape, spec.image_shape)
    if images.dtype == bool:
        images = np.uint8(255) * images
    if images.dtype != np.uint8:
        highest = 1 if images.dtype.kind == "f" else 255
        low, high = images.min(), images.max()
        if not (low >= 0 and high <= highest):  # also refuses NaN
            raise DataError(
                f"Expected {images.dtype} pixels in [0, {highest}]; got values "
                f"from {low} to {high}. Scale the images, or pass uint8."
            )
        images = images.astype("float32" if highest == 1 else "uint8")
    images = images.reshape(-1, *spec.image_shape)
    return images, checked_labels(y, len(images), spec)


def checked_labels(y, number: int, spec: ImageSpec) -> np.ndarray:
    """Labels int64 (number,); see `checked_arrays`."""
    if spec.num_classes is None:
        return np.zeros(number, np.int64)
    if y is None:
        raise UsageError(NO_LABEL)
    labels = np.asarray(y).reshape(-1).astype(np.int64)
    if len(labels) != number or not np.isin(labels, range(spec.num_classes)).all():
        raise DataError(
            f"Expected {number} labels from 0 to {spec.num_classes - 1}; got "
            f"{len(labels)}, from {min(labels, default=None)} to "
            f"{max(labels, default=None)}."
        )
    return labels


def _check_shape(shape, image_shape):
    height, width, channels = image_shape
    fitting = [image_shape, (height * width * channels,)]
    fitting += [(height, width)] if channels == 1 else []
    if len(shape) > 1 and shape[0] and tuple(shape[1:]) in fitting:
        return
    mend = ""
    if tuple(shape[1:]) == (channels, height, width):
        mend = " These have the channels first: pass np.moveaxis(images, 1, -1)."
    raise DataError(
        f"Expected images of shape (N, {height}, {width}, {channels}) with N >= 1; got "
        f"{tuple(shape)}.{mend}"
    )


def _of_dict(x):
    """The arrays of a dict as tensorflow-datasets gives them."""
    if "image" not in x:
        raise DataError(
            f"Expected a dict with the key 'image', and 'label' where there are labels;"
            f" got the keys {', '.join(map(repr, x)) or 'of none'}."
        )
    return x["image"], x.get("label")


def _of_split(split, batch_size, seed, first_epoch):
    dtype = split.images.dtype if isinstance(split, ArraySplit) else "uint8"
    spec = (
        tf.TensorSpec((batch_size, *split.image_shape), dtype),
        tf.TensorSpec((batch_size,), "int64"),
        tf.TensorSpec((batch_size,), "float32"),
    )

    def dataset(slice_steps):
        batches = split.batches(
            batch_size,
            seed=seed,
            first_epoch=first_epoch,
            slice_steps=slice_steps,
        )
        return batches.repeat() if seed is None else batches

    return Batches(spec, math.ceil(len(split) / batch_size), dataset)


def _of_dataset(data, spec, steps=None, batch_size=None):
    """Somebody's batches; the steps and the largest batch are known or found out."""
    parts = data.element_spec
    if isinstance(parts, dict):
        parts = _of_dict(parts)
    labels = parts[1] if isinstance(parts, tuple) and len(parts) > 1 else None
    if spec.num_classes is not None and (
        labels is None or (labels.shape.rank or 0) > 2
    ):
        raise UsageError(NO_LABEL)  # images alone, or an autoencoder's (x, x)
    batches = pipeline.of_one_shape(data, batch_size)
    _check_shape(tuple(pipeline.spec_of(batches)[0].shape), spec.image_shape)
    if steps is None and (steps := int(batches.cardinality())) < 0:
        steps = None  # endless, or unknown

    def dataset(slice_steps):
        found = batches if slice_steps is None else _slices(batches, slice_steps)
        return found if steps is None else found.repeat()

    return Batches(batches.element_spec, steps, dataset)


def _slices(batches, slice_steps):
    return pipeline.in_slices(batches, slice_steps).prefetch(2)


def _of_py_dataset(data, spec, seed, first_epoch):
    """A `PyDataset`: batches by number, each epoch in an order of its own."""
    if (steps := data.num_batches) is None:
        return _of_iterable((data[k] for k in itertools.count()), spec)
    epochs = itertools.count(first_epoch)

    def numbers():
        epoch = next(epochs)
        if seed is None:
            yield from range(steps)
        else:
            yield from np.random.default_rng([seed, epoch]).permutation(steps)
        data.on_epoch_end()

    first = _as_batch(data[0], spec)
    kinds = [part.dtype for part in first]

    def batch(number):
        parts = tf.py_function(lambda n: _as_batch(data[int(n)], spec), [number], kinds)
        for part, example in zip(parts, first, strict=True):
            part.set_shape((None, *example.shape[1:]))
        return tuple(parts)

    found = tf.data.Dataset.from_generator(
        numbers, output_signature=tf.TensorSpec((), "int64")
    ).map(batch, num_parallel_calls=max(1, data.workers))
    return _of_dataset(found, spec, steps, len(first[0]))


def _of_iterable(data, spec):
    """Anything that yields batches: a generator, a PyTorch `DataLoader`, ..."""
    iterator = iter(data)
    try:
        first = _as_batch(next(iterator), spec)
    except StopIteration:
        raise DataError(f"The {type(data).__name__} gave no batch.") from None
    once = iterator is data  # a generator goes on, others start again

    def batches_of(found):
        return (_as_batch(batch, spec) for batch in found)

    rest = itertools.chain([first], batches_of(iterator))

    def elements():
        return rest if once else batches_of(data)

    signature = tuple(
        tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in first
    )
    found = tf.data.Dataset.from_generator(elements, output_signature=signature)
    steps = len(data) if isinstance(data, Sized) else None
    batches = _of_dataset(found, spec, steps, len(first[0]))
    return replace(batches, once=once)


def _as_batch(batch, spec):
    """A batch of somebody's as arrays, checked: images, labels, weight."""
    if isinstance(batch, dict):
        batch = _of_dict(batch)
    parts = batch if isinstance(batch, list | tuple) else (batch,)
    images, labels, weight = (*parts, None, None)[:3]
    images, labels = checked_arrays(images, labels, spec)
    if weight is None:
        weight = np.ones(len(images))
    return images, labels, np.asarray(weight, np.float32)
