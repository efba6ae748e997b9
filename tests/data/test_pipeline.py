import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from keras import tree

from keras_vae.data.pipeline import evaluation_batches, in_slices, training_batches

NUM = 21
IMAGES = np.arange(NUM, dtype=np.uint8).reshape(NUM, 1, 1, 1) * np.ones(
    (1, 4, 3, 2), np.uint8
)
LABELS = np.arange(NUM) % 7


def steps(batch_size):
    return -(-NUM // batch_size)


def epoch(batch_size, seed=3, number=0):
    """The batches of one epoch."""
    batches = training_batches(
        IMAGES, LABELS, batch_size=batch_size, seed=seed, first_epoch=number
    )
    return batches.take(steps(batch_size))


def order(batches):
    """Indices of the images that count, in the order of the batches."""
    seen = []
    for images, labels, weight in batches:
        real = weight.numpy() == 1
        index = images.numpy()[real, 0, 0, 0].astype(int)
        np.testing.assert_array_equal(images.numpy()[real], IMAGES[index])
        np.testing.assert_array_equal(labels.numpy()[real], LABELS[index])
        seen += index.tolist()
    return seen


@pytest.mark.parametrize("batch_size", [1, 4, 7, 21, 50])
def test_every_image_counts_once_an_epoch(batch_size):
    training = epoch(batch_size)
    evaluation = evaluation_batches(IMAGES, LABELS, batch_size=batch_size)
    assert sorted(order(training)) == order(evaluation) == list(range(NUM))
    for dataset in (training, evaluation):
        assert len(list(dataset)) == steps(batch_size)
        assert sum(float(tf.reduce_sum(weight)) for *_, weight in dataset) == NUM


def test_batches_have_static_shapes_and_uint8_images():
    for dataset in (
        epoch(8),
        evaluation_batches(IMAGES, LABELS, batch_size=8),
    ):
        assert dataset.element_spec == (
            tf.TensorSpec((8, 4, 3, 2), tf.uint8),
            tf.TensorSpec((8,), tf.int64),
            tf.TensorSpec((8,), tf.float32),
        )


def test_padding_comes_last_and_has_weight_zero():
    for dataset in (
        epoch(8),
        evaluation_batches(IMAGES, LABELS, batch_size=8),
    ):
        weights = np.stack([weight.numpy() for *_, weight in dataset])
        np.testing.assert_array_equal(weights.ravel(), [1] * NUM + [0] * 3)


def test_order_is_a_function_of_seed_and_epoch_alone():
    def run(seed, first, number):
        batches = training_batches(
            IMAGES, LABELS, batch_size=4, seed=seed, first_epoch=first
        )
        seen = order(batches.take(number * steps(4)))
        return [seen[start : start + NUM] for start in range(0, number * NUM, NUM)]

    whole = run(3, 0, 6)
    assert run(3, 0, 6) == whole
    assert run(3, 4, 2) == whole[4:]  # a run resumed at epoch 4
    assert len({tuple(one) for one in whole + run(4, 0, 6)}) == 12
    assert run(2**24 - 1, 10**6, 1) == run(2**24 - 1, 10**6, 1)


@pytest.mark.parametrize("slice_steps", [None, 1, 3])
def test_an_epoch_can_be_begun_in_its_middle(slice_steps):
    size, number = slice_steps or 1, -(-steps(4) // (slice_steps or 1))
    options = {"batch_size": 4, "seed": 3, "slice_steps": slice_steps}
    whole = training_batches(IMAGES, LABELS, first_epoch=2, **options)
    whole = [*whole.take(2 * number).as_numpy_iterator()]
    for begun in range(number + 1):
        step = min(begun * size, steps(4))
        rest = training_batches(
            IMAGES, LABELS, first_epoch=2, first_step=step, **options
        )
        rest = [*rest.take(2 * number - begun).as_numpy_iterator()]
        pairs = zip(tree.flatten(rest), tree.flatten(whole[begun:]), strict=True)
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)


def test_order_stays_what_it_was():
    # Written down once: a checkpoint of an older version resumes in the same order.
    assert order(epoch(4))[:8] == [12, 10, 2, 13, 1, 3, 17, 8]


def test_every_place_is_equally_likely():
    batches = training_batches(IMAGES, LABELS, batch_size=50, seed=0)
    orders = [order([batch]) for batch in batches.take(60)]
    # Places 0 to 20 have a standard deviation of 6.06, means of 60 of them of 0.78.
    places = np.argsort(orders, axis=1).mean(axis=0)  # (NUM,)
    assert abs(places - 10).max() < 4.5 * 0.78


def test_images_are_read_where_they_are_and_kept_as_long_as_that():
    mine = np.zeros_like(IMAGES)
    alive = weakref.ref(mine)
    batches = iter(training_batches(mine, LABELS, batch_size=4, seed=3).take(6))
    mine[:] = IMAGES  # seen, for nothing was copied
    del mine
    gc.collect()
    assert sorted(order(batches)) == list(range(NUM))
    del batches
    gc.collect()
    assert alive() is None


class Noted:
    """A store that notes which images it is asked for."""

    image_shape = IMAGES.shape[1:]

    def __init__(self):
        self.asked = []

    def __len__(self):
        return NUM

    def read(self, rows):
        self.asked.append(rows)
        return IMAGES[rows]


@pytest.mark.parametrize("slice_steps", [None, 4])
@pytest.mark.parametrize("first_step", [0, 1, 5])
def test_a_run_goes_on_within_an_epoch_without_reading_what_was(
    first_step, slice_steps
):
    whole = order(epoch(4, number=2)) + order(epoch(4, number=3))
    store = Noted()
    batches = training_batches(
        store,
        LABELS,
        batch_size=4,
        seed=3,
        first_epoch=2,
        first_step=first_step,
        slice_steps=slice_steps,
    )
    found = []
    for batch in batches:
        if slice_steps:
            number, stacked = batch
            found += zip(*(part[:number] for part in stacked), strict=True)
        else:
            found.append(batch)
        if len(found) >= 12 - first_step:
            break
    assert len(found) == 12 - first_step
    assert order(found) == whole[4 * first_step :]
    first = store.asked[0].reshape(-1)[: 4 if first_step < 5 else 1]
    assert first.tolist() == whole[4 * first_step :][: len(first)]


@pytest.mark.parametrize("slice_steps", [1, 2, 4, 6, 9])
def test_slices_hold_the_batches_and_end_with_the_epoch(slice_steps):
    batches = training_batches(IMAGES, LABELS, batch_size=4, seed=3)  # 6 an epoch
    slices = training_batches(
        IMAGES, LABELS, batch_size=4, seed=3, slice_steps=slice_steps
    )
    unpacked = []
    for number, stacked in slices:
        assert {part.shape[0] for part in stacked} == {slice_steps}
        unpacked += zip(*(part[:number] for part in stacked), strict=True)
        if len(unpacked) >= 12:
            break
        if len(unpacked) > 6:
            assert len(unpacked) - 6 <= slice_steps or slice_steps < 6
    assert len(unpacked) == 12  # two epochs exactly: no slice reaches over the end
    for mine, theirs in zip(unpacked, batches, strict=False):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def test_slices_of_any_batches():
    slices = list(in_slices(evaluation_batches(IMAGES, LABELS, batch_size=4), 4))
    assert [int(number) for number, _ in slices] == [4, 2]
    (_, first), (_, last) = slices
    np.testing.assert_array_equal(
        np.concatenate([first[1], last[1]]).ravel()[:NUM], LABELS
    )
    assert not np.any(last[2][2:])
