import numpy as np
import pytest
import tensorflow as tf

from keras_vae.data.pipeline import TrainingBatches, evaluation_batches, of_one_shape

NUM = 21
IMAGES = np.arange(NUM, dtype=np.uint8).reshape(NUM, 1, 1, 1) * np.ones(
    (1, 4, 3, 2), np.uint8
)
LABELS = np.arange(NUM) % 7


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
    training = TrainingBatches(IMAGES, LABELS, batch_size, seed=3).dataset
    evaluation = evaluation_batches(IMAGES, LABELS, batch_size)
    assert sorted(order(training)) == order(evaluation) == list(range(NUM))
    for dataset in (training, evaluation):
        assert int(dataset.cardinality()) == -(-NUM // batch_size)
        assert sum(float(tf.reduce_sum(weight)) for *_, weight in dataset) == NUM


def test_batches_have_static_shapes_and_uint8_images():
    for dataset in (
        TrainingBatches(IMAGES, LABELS, 8, seed=3).dataset,
        evaluation_batches(IMAGES, LABELS, 8),
    ):
        assert dataset.element_spec == (
            tf.TensorSpec((8, 4, 3, 2), tf.uint8),
            tf.TensorSpec((8,), tf.int64),
            tf.TensorSpec((8,), tf.float32),
        )


def test_padding_comes_last_and_has_weight_zero():
    for dataset in (
        TrainingBatches(IMAGES, LABELS, 8, seed=3).dataset,
        evaluation_batches(IMAGES, LABELS, 8),
    ):
        weights = np.stack([weight.numpy() for *_, weight in dataset])
        np.testing.assert_array_equal(weights.ravel(), [1] * NUM + [0] * 3)


def test_order_is_a_function_of_seed_and_epoch_alone():
    def run(seed, epochs):
        batches = TrainingBatches(IMAGES, LABELS, 4, seed)
        orders = []
        for epoch in epochs:
            batches.epoch.assign(epoch)
            orders.append(order(batches.dataset))
        return orders

    whole = run(3, range(6))
    assert run(3, range(6)) == whole
    assert run(3, range(4, 6)) == whole[4:]  # a run resumed at epoch 4
    assert run(3, [5, 0, 5]) == [whole[5], whole[0], whole[5]]
    assert len({tuple(one) for one in whole + run(4, range(6))}) == 12
    assert run(2**24 - 1, [10**6]) == run(2**24 - 1, [10**6])


def test_order_stays_what_it_was():
    # Written down once: a checkpoint of an older version resumes in the same order.
    batches = TrainingBatches(IMAGES, LABELS, 4, seed=3)
    assert order(batches.dataset)[:8] == [12, 10, 2, 13, 1, 3, 17, 8]


def test_a_part_of_an_epoch_goes_on_where_it_stopped():
    batches = TrainingBatches(IMAGES, LABELS, 4, seed=3)
    whole = order(batches.dataset)
    assert order(batches.dataset.skip(2)) == whole[8:]


def test_every_place_is_equally_likely():
    batches = TrainingBatches(IMAGES, LABELS, 50, seed=0)
    orders = []
    for epoch in range(60):
        batches.epoch.assign(epoch)
        orders.append(order(batches.dataset))
    # Places 0 to 20 have a standard deviation of 6.06, means of 60 of them of 0.78.
    places = np.argsort(orders, axis=1).mean(axis=0)  # (NUM,)
    assert abs(places - 10).max() < 4.5 * 0.78


def test_images_are_a_copy():
    mine = IMAGES.copy()
    dataset = TrainingBatches(mine, LABELS, 4, seed=3).dataset
    mine[:] = 99
    assert sorted(order(dataset)) == list(range(NUM))


def test_epochs_of_fit_are_followed():
    import keras

    batches = TrainingBatches(IMAGES, LABELS, 4, seed=3)
    epochs = []
    callback = batches.follow_epochs()
    for epoch in (2, 3):
        callback.on_epoch_begin(epoch, None)
        epochs.append(int(batches.epoch))
    assert epochs == [2, 3] and isinstance(callback, keras.callbacks.Callback)


@pytest.mark.parametrize(
    "form",
    [
        lambda x, y: x,
        lambda x, y: (x,),
        lambda x, y: (x, y),
        lambda x, y: (x, x),
        lambda x, y: (x, y, tf.ones(tf.shape(y))),
        lambda x, y: {"image": x},
        lambda x, y: {"image": x, "label": y},
    ],
)
def test_data_sets_of_others_get_one_shape(form):
    theirs = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8).map(form)
    ours = list(of_one_shape(theirs))
    labelled = isinstance(parts := form(IMAGES, LABELS), dict) and "label" in parts
    labelled |= isinstance(parts, tuple) and len(parts) > 1 and parts[1] is LABELS
    images, labels, weight = (np.concatenate(part) for part in zip(*ours, strict=True))
    np.testing.assert_array_equal(images[:NUM], IMAGES)
    np.testing.assert_array_equal(labels[:NUM], LABELS if labelled else np.zeros(NUM))
    np.testing.assert_array_equal(weight, [1] * NUM + [0] * 3)
    assert {tuple(part.shape) for part, *_ in ours} == {(8, 4, 3, 2)}


def test_a_data_set_of_one_shape_comes_back_as_it_is():
    dataset = evaluation_batches(IMAGES, LABELS, 8)
    assert of_one_shape(dataset) is dataset
