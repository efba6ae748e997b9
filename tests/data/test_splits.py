import numpy as np
import pytest

from keras_vae.data.splits import ArraySplit, Split, SupportsArray, divided
from keras_vae.errors import UsageError

IMAGES = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones(
    (1, 4, 3, 2), np.uint8
)
LABELS = np.arange(10) % 4
WEIGHT = np.linspace(0, 1, 10, dtype=np.float32)


def test_a_split_in_memory_is_a_split():
    split = ArraySplit(IMAGES, LABELS)
    assert isinstance(split, Split) and not isinstance(IMAGES, Split)
    assert len(split) == 10 and split.image_shape == (4, 3, 2)


def test_mean_image_is_on_the_scale_of_one():
    expected = np.full((4, 3, 2), 4.5 / 255)
    np.testing.assert_allclose(ArraySplit(IMAGES).mean_image(), expected)
    floats = ArraySplit(IMAGES / np.float32(255))
    np.testing.assert_allclose(floats.mean_image(), expected, rtol=1e-6)


@pytest.mark.parametrize("rows", [[7, 2], np.array([7, 2]), np.arange(10) > 6])
def test_take_keeps_images_labels_and_weights_together(rows):
    some = ArraySplit(IMAGES, LABELS, WEIGHT).take(rows)
    np.testing.assert_array_equal(some.images, IMAGES[rows])
    np.testing.assert_array_equal(some.labels, LABELS[rows])
    np.testing.assert_array_equal(some.weight, WEIGHT[rows])
    bare = ArraySplit(IMAGES).take(rows)
    assert bare.labels is None and bare.weight is None


def test_batches_come_in_order_or_shuffled_by_seed_and_epoch():
    split = ArraySplit(IMAGES, LABELS, WEIGHT)

    def read(**options):
        batches = split.batches(4, **options).take(3)
        images, labels, weight = (
            np.concatenate(part)[:10] for part in zip(*batches, strict=True)
        )
        order = images[:, 0, 0, 0].astype(int)
        np.testing.assert_array_equal(labels, LABELS[order])
        np.testing.assert_array_equal(weight, WEIGHT[order])
        return order.tolist()

    assert read() == [*range(10)]
    shuffled = read(seed=3)
    assert sorted(shuffled) == [*range(10)] != shuffled
    assert read(seed=3) == shuffled != read(seed=3, first_epoch=1)
    number, (images, *_) = next(iter(split.batches(4, slice_steps=2)))
    assert number == 2 and images.shape == (2, 4, 4, 3, 2)


def test_batches_without_labels_and_weights_have_zeros_and_ones():
    ((_, labels, weight),) = ArraySplit(IMAGES).batches(10)
    np.testing.assert_array_equal(labels, np.zeros(10))
    np.testing.assert_array_equal(weight, np.ones(10))


def test_a_digest_differs_where_the_data_do():
    changed = IMAGES.copy()
    changed[3, 1, 2, 0] += 1
    splits = [
        ArraySplit(IMAGES, LABELS, WEIGHT),
        ArraySplit(IMAGES, LABELS),
        ArraySplit(IMAGES),
        ArraySplit(changed),
        ArraySplit(IMAGES[::-1]),
        ArraySplit(IMAGES.swapaxes(1, 3)),
        ArraySplit(IMAGES.astype(np.int8)),
    ]
    assert len({split.digest() for split in splits}) == len(splits)
    again = ArraySplit(np.asfortranarray(IMAGES), LABELS, WEIGHT)
    assert again.digest() == splits[0].digest()


def test_divided_holds_out_the_last_part():
    (x, y, weight), (held, labels, none) = divided(IMAGES, LABELS, None, 0.25)
    np.testing.assert_array_equal(np.concatenate([x, held]), IMAGES)
    assert len(x) == 7 and weight is None and none is None
    np.testing.assert_array_equal(labels, LABELS[7:])
    (x, y, _), _ = divided(list(IMAGES), None, None, 0.5)
    assert len(x) == 5 and y is None


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_divided_refuses_a_share_that_is_none(share):
    with pytest.raises(UsageError, match=f"between 0 and 1; got {share}"):
        divided(IMAGES, None, None, share)


def test_divided_refuses_what_is_no_array():
    assert isinstance(IMAGES, SupportsArray) and not isinstance([1], SupportsArray)
    with pytest.raises(UsageError, match="with a ArraySplit pass validation_data"):
        divided(ArraySplit(IMAGES), None, None, 0.5)
