"""What `fit` makes of data, beyond the batches that they become."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.data.splits import ArraySplit
from keras_vae.errors import DataError, UsageError


def test_uint8_and_float_images_train_alike(small_vae, images):
    x = images(16)
    a, b = small_vae(), small_vae()
    a.fit(x, batch_size=8, verbose=0)
    b.fit((x / np.float32(255)), batch_size=8, verbose=0)
    for left, right in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


@pytest.mark.parametrize("form", ["images", "pairs", "autoencoder", "dict"])
def test_fit_takes_the_forms_that_keras_takes(small_vae, images, form):
    x, y = images(11), np.arange(11) % 2
    element = {
        "images": x,
        "pairs": (x, y),
        "autoencoder": (x, x),
        "dict": {"image": x, "label": y},
    }[form]
    vae = small_vae()
    history = vae.fit(
        tf.data.Dataset.from_tensor_slices(element).batch(4),
        epochs=2,
        validation_data=x,
        verbose=0,
    )
    assert np.isfinite(history.history["loss"]).all()
    assert vae.optimizer.iterations.numpy() == 6
    assert set(history.history) == {
        prefix + name
        for name in ("loss", "elbo", "log_likelihood", "kl_divergence")
        for prefix in ("", "val_")
    }


def test_images_without_a_channel_axis_and_a_validation_split(small_vae, images):
    x = images(20, (6, 5))
    history = small_vae().fit(x, validation_split=0.25, batch_size=5, verbose=0)
    assert "val_elbo" in history.history


def test_a_generator_trains_through_the_stock_loop(small_vae, images):
    def batches():
        while True:
            yield (images(4),)

    vae = small_vae()
    vae.fit(batches(), steps_per_epoch=3, epochs=2, verbose=0)
    assert vae.optimizer.iterations.numpy() == 6


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 6, 5, 1), np.uint8), r"N >= 1; got \(0, 6, 5, 1\)"),
        (np.zeros((3, 7, 5, 1), np.uint8), r"got \(3, 7, 5, 1\)"),
        (np.full((3, 6, 5, 1), 200.0), "got values from 200.0 to 200.0"),
        (np.full((3, 6, 5, 1), -0.1), r"pixels in \[0, 1\]"),
        (np.full((3, 6, 5, 1), np.nan), "got values from nan to nan"),
        (np.full((3, 6, 5, 1), 256), r"pixels in \[0, 255\]"),
        (np.ones((3, 6, 5, 1), np.uint8), "The largest of these integers is 1"),
        (np.eye(6, 5, dtype=int)[None], "pass black-and-white images as booleans"),
        (ArraySplit(np.ones((3, 6, 5, 1), np.uint8)), "on the scale 0 to 255"),
    ],
)
def test_fit_rejects_images_that_are_none(small_vae, x, message):
    with pytest.raises(DataError, match=message):
        small_vae().fit(x, verbose=0)


def test_black_and_white_images_train_as_booleans_or_floats(small_vae, images):
    x = images(16) > 127
    a, b = small_vae(), small_vae()
    a.fit(x, batch_size=8, verbose=0)
    b.fit(x.astype(np.float32), batch_size=8, verbose=0)
    for left, right in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_weights_of_a_split_are_those_of_arrays(small_vae, images):
    x, weight = images(16), np.linspace(0, 1e-3, 16)  # a sum below 1, in float64
    a, b, c = small_vae(), small_vae(), small_vae()
    a.fit(ArraySplit(x, weight=weight), batch_size=8, verbose=0)
    b.fit(x, sample_weight=weight, batch_size=8, verbose=0)
    c.fit(x, sample_weight=1e5 * weight, batch_size=8, verbose=0)
    for left, right, scaled in zip(
        a.get_weights(), b.get_weights(), c.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(left, right)
        # only their ratio counts, but for rounding, which Adam's first steps enlarge
        np.testing.assert_allclose(left, scaled, atol=1e-5)
    with pytest.raises(DataError, match="weight"):
        a.fit(ArraySplit(x, weight=-weight), batch_size=8, verbose=0)


def test_a_conditional_model_insists_on_its_labels(small_vae, images):
    vae, x = small_vae(num_classes=3), images(4)
    for call in (vae.fit, vae.evaluate, vae.encode, vae.reconstruct):
        with pytest.raises(UsageError, match="needs a label for each image"):
            call(x)
    with pytest.raises(UsageError, match="needs a label for each image"):
        vae.decode(np.zeros((4, 3)))
    with pytest.raises(DataError, match="Expected 4 labels, one for each image; got 3"):
        vae.fit(x, [0, 1, 2], verbose=0)
    with pytest.raises(DataError, match="from 0 to 2; got 3 for image 3"):
        vae.encode(x, [0, 1, 2, 3])
