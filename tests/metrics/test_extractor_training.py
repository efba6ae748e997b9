import numpy as np
import pytest

from keras_vae.data.sources import ImageSource
from keras_vae.data.splits import ArraySplit
from keras_vae.errors import DataError
from keras_vae.metrics import extractor_training as module
from keras_vae.metrics.extractor_training import damaged, train_extractor

DAMAGES = tuple(module.DAMAGES)


def source(shape=(10, 9, 1), labels=True):
    """Images of two classes, bright at the left or at the right."""
    rng = np.random.default_rng(0)
    classes = np.arange(300) % 2
    images = rng.integers(0, 60, (300, *shape), np.uint8)
    images[classes == 0, :, :4] += 190
    images[classes == 1, :, 5:] += 190
    split = ArraySplit(images, classes if labels else None)
    return ImageSource("sides", "made here", split, None, split.take(slice(100)))


def test_extractor_learns_its_classes_and_gives_standardized_features():
    data = source()
    extractor, accuracy = train_extractor(data, epochs=20)
    assert accuracy["label"] > 0.9 and set(accuracy) == {"label", "damage"}
    found = extractor.predict(data.train.images / np.float32(255), verbose=0)
    assert found.shape == (300, 64)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)  # float32
    np.testing.assert_allclose(found.var(axis=0).mean(), 1, rtol=1e-4)
    again, same = train_extractor(data, epochs=20)
    assert same == accuracy
    for one, other in zip(extractor.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (source(labels=False), "sides has no classes"),
        (source((7, 9, 1)), "sides has 7x9x1"),
        (source((9, 9, 2)), "sides has 9x9x2"),
    ],
)
def test_images_that_it_cannot_learn_from_are_told_in_a_sentence(data, message):
    with pytest.raises(DataError, match=message) as error:
        train_extractor(data)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_damage_is_what_it_is_called(channels):
    rng = np.random.default_rng(1)
    x = np.float32(rng.random((200, 16, 16, channels)))
    x[:, 0, 0] = 0.5
    found, kind = (part.numpy() for part in damaged(x, (3, 4)))
    assert sorted({*kind}) == [0, 1, 2, 3, 4]
    assert found.min() >= 0 and found.max() <= 1
    moved = next(
        rolled
        for shift in np.ndindex(5, 5)
        for rolled in [np.roll(x, np.subtract(shift, 2), (1, 2))]
        if (rolled[kind == 0] == found[kind == 0]).all()
    )
    change = {
        name: found[kind == k] - moved[kind == k] for k, name in enumerate(DAMAGES)
    }
    blur = found[kind == 1]
    # a blur keeps the brightness; neighbors differ by 1/3 before it, on average
    np.testing.assert_allclose(change["blur"].mean(axis=(1, 2)), 0, atol=0.02)
    assert np.abs(np.diff(blur, axis=1)).mean() < 1 / 6
    assert 0.01 < change["noise"].std() < 0.3
    gap = np.abs(change["gap"]).max(axis=3) > 0
    assert (
        found[kind == 3][gap]
        == moved[kind == 3, :1, :1].repeat(16, 1).repeat(16, 2)[gap]
    ).all()
    assert 0.05 < gap.mean() < 0.5
    share = np.roll(moved, 1, axis=0)[kind == 4] - moved[kind == 4]
    ratio = (change["mixture"] * share).sum((1, 2, 3)) / np.square(share).sum((1, 2, 3))
    assert (ratio > 0.25 - 1e-5).all() and (ratio < 0.5 + 1e-5).all()
    again, same = damaged(x, (3, 4))
    np.testing.assert_array_equal(again, found)
    np.testing.assert_array_equal(same, kind)
