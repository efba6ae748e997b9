"""Trains a small network whose features tell good images from bad ones.

It has two tasks: the class of an image, and which damage was done to it, of those that
generated images suffer from. So its features notice both what is shown and how well.
"""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_vae.data.sources import ImageSource
from keras_vae.data.splits import Split
from keras_vae.errors import DataError

NUM_FEATURES = 64
BATCH = 128
MOST = 10_000  # images that the features are standardized on
LEARNING_RATE = 2e-3
ACCURACY = "sparse_categorical_accuracy"  # as Keras names it


def extractor_network(
    image_shape: tuple[int, int, int], num_classes: int, seed: int
) -> tuple[keras.Model, keras.Model]:
    """Four convolutions and a dense layer of features, with a head for each task.

    Args:
        image_shape: (H, W, C), H and W at least 8.
        num_classes: int >= 2.
        seed: int >= 0, of the first weights.

    Returns:
        The extractor, images float32 (B, H, W, C) in [0, 1] -> features (B, 64), and
        the same network with its heads -> logits `label` (B, num_classes) and `damage`
        (B, 5).

    Example:
        >>> extractor, _ = extractor_network((28, 28, 1), num_classes=10, seed=0)
        >>> extractor.output_shape
        (None, 64)
    """
    seeds = iter(range(10 * seed, 10 * seed + 10))

    def dense(units, name):
        initializer = keras.initializers.GlorotUniform(next(seeds))
        return layers.Dense(units, kernel_initializer=initializer, name=name)

    images = x = keras.Input(image_shape, name="images")
    for filters, strides in ((16, 1), (32, 2), (64, 2), (32, 2)):
        initializer = keras.initializers.GlorotUniform(next(seeds))
        options = {"activation": "relu", "kernel_initializer": initializer}
        x = layers.Conv2D(filters, 3, strides, "same", **options)(x)
    features = dense(NUM_FEATURES, "features")(layers.Flatten()(x))
    x = layers.Activation("relu")(features)
    heads = {
        "label": dense(num_classes, "label")(x),
        "damage": dense(len(DAMAGES), "damage")(x),
    }
    return keras.Model(images, features), keras.Model(images, heads)


def train_extractor(
    source: ImageSource,
    *,
    epochs: int = 4,
    damage_weight: float = 0.1,
    seed: int = 0,
    verbose: int = 0,
) -> tuple[keras.Model, dict[str, float]]:
    """Trains an extractor on the training images, and tests it on the test images.

    The same seed gives the same weights on the same CPU.

    Args:
        source: Images with labels, of 1 or 3 channels.
        epochs: int >= 1.
        damage_weight: float >= 0, of the damage's loss beside that of the class. A
            heavy one makes features that keep all that a model draws apart from images.
        seed: int >= 0.
        verbose: Of `keras.Model.fit`.

    Returns:
        The extractor, and the held-out accuracy of its tasks, `label` and `damage`, as
        shares of 1.

    Raises:
        DataError: If there are no labels, or the images are too small.

    Example:
        >>> from keras_vae import load
        >>> extractor, accuracy = train_extractor(load("digits"), epochs=1)
    """
    if source.num_classes is None or source.num_classes < 2:
        raise DataError(
            f"{source.name} has no classes to learn; an extractor needs labeled images."
        )
    if min(source.image_shape[:2]) < 8 or source.image_shape[2] not in (1, 3):
        raise DataError(
            f"An extractor needs images of 8x8 or more, grey or color; {source.name} "
            f"has {'x'.join(map(str, source.image_shape))}."
        )
    extractor, network = extractor_network(source.image_shape, source.num_classes, seed)
    steps = math.ceil(len(source.train) / BATCH)
    heads = network.output_names
    network.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(LEARNING_RATE, epochs * steps)
        ),
        loss={name: keras.losses.SparseCategoricalCrossentropy(True) for name in heads},
        loss_weights={"label": 1.0, "damage": damage_weight},
        metrics={name: keras.metrics.SparseCategoricalAccuracy() for name in heads},
        jit_compile=False,
    )
    network.fit(
        _tasks(source.train, seed, order=seed),
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,
        verbose=verbose,  # pyright: ignore
    )
    found = network.evaluate(_tasks(source.test, seed + 1), verbose=0, return_dict=True)
    _standardize(extractor, source.train)
    return extractor, {name: float(found[f"{name}_{ACCURACY}"]) for name in heads}


def _standardize(extractor, split):
    """Gives the features mean 0 each, and variance 1 all together, on sound images."""
    images = split.take(np.arange(min(MOST, len(split)))).images
    features = extractor.predict(images.astype(np.float32) / 255, verbose=0)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scale = 1 / np.sqrt(np.square(deviation).mean())
    dense = extractor.get_layer("features")
    kernel, bias = dense.get_weights()
    dense.set_weights([kernel * scale, (bias - mean) * scale])


def _tasks(split: Split, seed: int, order: int | None = None):
    """Batches of damaged images, with their classes and their damages."""

    def task(step, batch):
        images, labels, weight = batch
        x, damage = damaged(tf.cast(images, tf.float32) / 255, (seed, step))
        weights = {"label": weight, "damage": weight}
        return x, {"label": labels, "damage": damage}, weights

    batches = split.batches(BATCH, seed=order).enumerate()
    return batches.map(task, num_parallel_calls=2).prefetch(2)


# === Damages ===


def _drawn(x, seed, least, most):
    """Uniform numbers, one for each image, (B, 1, 1, 1)."""
    shape = tf.stack([tf.shape(x)[0], 1, 1, 1])
    return tf.random.stateless_uniform(shape, seed, least, most)


def blurred(x, seed):
    """A Gaussian blur of 0.5 to 2 pixels, of the whole batch."""
    sigma = tf.random.stateless_uniform((), seed, 0.5, 2.0)
    weights = tf.exp(-0.5 * (tf.range(-4.0, 5.0) / sigma) ** 2)  # (9,)
    kernel = tf.einsum("h,w->hw", weights, weights) / tf.reduce_sum(weights) ** 2
    kernel = tf.repeat(kernel[:, :, None, None], x.shape[3], axis=2)
    padded = tf.pad(x, [[0, 0], [4, 4], [4, 4], [0, 0]], "SYMMETRIC")
    return tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")


def noisy(x, seed):
    """Gaussian noise of a standard deviation of 0.03 to 0.3, for each image another."""
    first, second = tf.unstack(tf.random.split(seed))
    size = _drawn(x, first, 0.03, 0.3)
    noise = tf.random.stateless_normal(tf.shape(x), second)
    return tf.clip_by_value(x + size * noise, 0, 1)


def broken(x, seed):
    """A straight gap across the middle, 2 to 4 pixels wide, of the corner's color."""
    angle, offset, width = (
        _drawn(x, part, 0, 1) for part in tf.unstack(tf.random.split(seed, 3))
    )
    rows = tf.range(x.shape[1], dtype=tf.float32)[:, None, None] - x.shape[1] / 2
    columns = tf.range(x.shape[2], dtype=tf.float32)[:, None] - x.shape[2] / 2
    angle *= math.pi
    distance = rows * tf.cos(angle) + columns * tf.sin(angle)  # (B, H, W, 1)
    offset = (offset - 0.5) * x.shape[1] / 3
    gap = tf.abs(distance - offset) < 1 + width
    return tf.where(gap, x[:, :1, :1], x)


def mixed(x, seed):
    """A quarter to a half of another image of the batch, shining through."""
    share = _drawn(x, seed, 0.25, 0.5)
    return (1 - share) * x + share * tf.roll(x, 1, axis=0)


def damaged(x, seed) -> tuple:
    """Moves images by up to two pixels, and damages four fifths of them.

    Args:
        x: float32 (B, H, W, C) in [0, 1].
        seed: Two ints, which decide everything.

    Returns:
        Images as `x`, and int (B,), the place of each one's damage in `DAMAGES`.

    Example:
        >>> images, damage = damaged(np.zeros((8, 28, 28, 1), "f4"), (0, 0))
        >>> images.shape, damage.shape
        (TensorShape([8, 28, 28, 1]), TensorShape([8]))
    """
    seeds = tf.random.split(tf.cast(tf.stack(seed), tf.int64), 2 + len(DAMAGES))
    first, second, *others = tf.unstack(seeds)
    kind = tf.cast(tf.reshape(_drawn(x, first, 0, len(DAMAGES)), (-1,)), tf.int32)
    shift = tf.random.stateless_uniform((2,), second, -2, 3, tf.int32)
    x = tf.roll(x, shift, axis=[1, 2])
    result = x
    for k, damage in enumerate(DAMAGES.values()):
        if damage is not None:
            here = (kind == k)[:, None, None, None]
            result = tf.where(here, damage(x, others[k]), result)
    return result, kind


DAMAGES = {
    "none": None,
    "blur": blurred,
    "noise": noisy,
    "gap": broken,
    "mixture": mixed,
}
