import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.data.batches import batches_of
from keras_vae.data.splits import ArraySplit
from keras_vae.errors import DataError, UsageError
from keras_vae.model import VAE
from keras_vae.networks.conv import conv
from keras_vae.training import trainer
from keras_vae.training.checkpoints import Checkpoint


def not_counted(x):
    """A data set whose length nobody knows."""
    return tf.data.Dataset.from_tensor_slices(x).batch(4).filter(lambda x: True)


def batches(x):
    return (x[start : start + 4] for start in range(0, len(x), 4))


@pytest.mark.parametrize("steps", [1, 3])
def test_data_of_unknown_length_train_and_validate_without_a_warning(
    small_vae, images, steps
):
    x, other = images(22), images(10, seed=1)
    logs = {}
    for kind in (lambda x: x, not_counted):
        vae = small_vae()
        vae.compile("sgd", steps_per_execution=steps, jit_compile=False)
        logs[kind] = vae.fit(
            kind(x),
            validation_data=kind(other),
            batch_size=4,
            epochs=3,
            shuffle=False,
            verbose=0,
        ).history
        assert vae.optimizer.iterations == 18
        again = vae.evaluate(kind(other), batch_size=4, verbose=0, return_dict=True)
        assert again["elbo"] == pytest.approx(logs[kind]["val_elbo"][-1], rel=1e-6)
    one, other = logs.values()
    assert set(one) == set(other)
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, rtol=1e-6)


def test_a_generator_fills_one_epoch_and_is_refused_for_more(small_vae, images):
    x = images(22)
    vae = small_vae()
    vae.fit(batches(x), epochs=1, verbose=0)
    assert vae.optimizer.iterations == 6
    with pytest.raises(UsageError, match="once, and 2 epochs need them as often"):
        vae.fit(batches(x), epochs=2, verbose=0)
    with pytest.raises(UsageError, match="pass steps_per_epoch or validation_steps"):
        vae.fit(x, validation_data=batches(x), epochs=2, verbose=0)
    assert vae.optimizer.iterations == 6
    endless = itertools.cycle(batches(x))
    vae.fit(
        endless,
        steps_per_epoch=4,
        validation_data=itertools.cycle(batches(x)),
        validation_steps=2,
        epochs=2,
        verbose=0,
    )
    assert vae.optimizer.iterations == 14


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("kind", [batches, not_counted])
def test_data_that_end_too_early_are_warned_of_and_no_step(
    small_vae, images, steps, kind
):
    vae = small_vae()
    vae.compile("sgd", steps_per_execution=steps, jit_compile=False)
    with pytest.warns(UserWarning, match="ran out of data"):
        vae.fit(kind(images(22)), steps_per_epoch=9, verbose=0)
    assert vae.optimizer.iterations == 6
    assert max(state.numpy()[1] for state in vae._noise_states) == 6


def test_validation_steps_are_the_first_batches(small_vae, images):
    x, vae = images(22), small_vae()
    logs = vae.fit(
        x, validation_data=x, validation_steps=2, batch_size=4, epochs=2, verbose=0
    )
    expected = vae.evaluate(x[:8], batch_size=4, verbose=0, return_dict=True)
    assert logs.history["val_loss"][-1] == pytest.approx(expected["loss"], rel=1e-6)
    some = vae.evaluate(x, batch_size=4, steps=2, verbose=0, return_dict=True)
    assert some == pytest.approx(expected, rel=1e-6)


def test_validation_data_may_carry_labels_and_weights(small_vae, images):
    x, y, weight = images(8), np.arange(8) % 3, np.float32([1, 1, 1, 1, 0, 0, 0, 0])
    vae = small_vae(num_classes=3)
    logs = vae.fit(
        x, y, validation_data=(x, y, weight), batch_size=4, verbose=0
    ).history
    expected = vae.evaluate(x[:4], y[:4], batch_size=4, verbose=0)
    assert logs["val_loss"][0] == pytest.approx(expected[0], rel=1e-6)


def test_the_validation_split_is_the_last_part(small_vae, images):
    x, vae = images(20), small_vae()
    logs = vae.fit(x, validation_split=0.25, batch_size=5, verbose=0).history
    assert vae.optimizer.iterations == 3
    expected = vae.evaluate(x[15:], batch_size=5, verbose=0)
    assert logs["val_loss"][0] == pytest.approx(expected[0], rel=1e-6)


def test_a_run_goes_on_in_the_order_it_would_have_had(small_vae, images):
    x = images(22)
    whole, parts = small_vae(), small_vae()
    whole.fit(x, batch_size=4, epochs=3, verbose=0)
    for epoch in range(3):
        parts.fit(x, batch_size=4, epochs=epoch + 1, initial_epoch=epoch, verbose=0)
    for one, other in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_further_fit_has_another_order(small_vae, images, monkeypatch):
    seeds = []

    def recorded(*args, seed, **kwargs):
        seeds.append(seed)
        return batches_of(*args, seed=seed, **kwargs)

    monkeypatch.setattr(trainer, "batches_of", recorded)
    for _ in range(2):  # the same in each process
        vae = small_vae(seed=5)
        vae.fit(images(8), batch_size=4, verbose=0)
        vae.fit(images(8), batch_size=4, verbose=0)
        vae.fit(images(8), batch_size=4, epochs=2, initial_epoch=1, verbose=0)
    first, second, third = seeds[:3]
    assert first == 5 != second and third == second  # the third goes on
    assert seeds[3:] == seeds[:3]


def test_a_further_fit_that_was_cut_goes_on_in_its_order(small_vae, images, tmp_path):
    """In the same process, and in one that runs the same lines again."""

    def train(vae, epochs):
        vae.fit(images(22), batch_size=4, verbose=0)
        for last in epochs:
            checkpoint = Checkpoint(tmp_path / f"{epochs}")
            x = images(22)
            vae.fit(x, batch_size=4, epochs=last, callbacks=[checkpoint], verbose=0)
        return vae.get_weights()

    whole = train(small_vae(), [3])
    for one, other in zip(whole, train(small_vae(), [1, 3]), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"class_weight": {0: 2.0}}, UsageError, "class_weight is not supported"),
        ({"batch_size": 0}, UsageError, "batch_size must be a whole number >= 1"),
        ({"batch_size": 2.5}, UsageError, "batch_size must be a whole number"),
        ({"steps_per_epoch": 0}, UsageError, "steps_per_epoch must be a whole number"),
        ({"validation_split": 1.5}, UsageError, "between 0 and 1; got 1.5"),
        ({"validation_split": -0.5}, UsageError, "between 0 and 1; got -0.5"),
        ({"validation_split": 0.99}, DataError, r"N >= 1; got \(0, 6, 5, 1\)"),
        (
            {"validation_data": np.zeros((3, 6, 5, 1)), "validation_steps": 0},
            UsageError,
            "steps must be a whole number >= 1",
        ),
    ],
)
def test_fit_refuses_what_it_cannot_do(small_vae, images, arguments, error, message):
    vae = small_vae()
    with pytest.raises(error, match=message):
        vae.fit(images(22), verbose=0, **arguments)
    assert vae.optimizer.iterations == 0


@pytest.mark.parametrize("kind", ["_BatchDataset", "ArraySplit", "dict"])
def test_a_validation_split_of_anything_but_an_array_is_refused(
    small_vae, images, kind
):
    data = {
        "_BatchDataset": tf.data.Dataset.from_tensor_slices(images(8)).batch(4),
        "ArraySplit": ArraySplit(images(8)),
        "dict": {"image": images(8)},
    }
    with pytest.raises(UsageError, match=f"with a {kind} pass validation_data"):
        small_vae().fit(data[kind], validation_split=0.2, verbose=0)


def test_metrics_are_weighed_by_the_images_that_count(small_vae, images):
    x, vae = images(8), small_vae()
    weight = np.float32([2, 2, 2, 2, 0, 0, 0, 0])
    logs = vae.evaluate(x, sample_weight=weight, batch_size=4, verbose=0)
    assert logs == pytest.approx(vae.evaluate(x[:4], batch_size=4, verbose=0), rel=1e-6)


def test_noise_of_a_seed_leaves_the_noise_where_it_was(small_vae, images):
    vae, x = small_vae(), tf.constant(images(4) / np.float32(255))

    def elbo():
        return np.asarray(vae.terms(x).elbo)

    with vae.noise_of(5):
        first = elbo()
    between = elbo()
    with vae.noise_of(5):
        np.testing.assert_array_equal(elbo(), first)
    fresh = small_vae()
    np.testing.assert_array_equal(np.asarray(fresh.terms(x).elbo), between)


def test_compile_chooses_xla_but_for_convolutions_on_a_cpu(small_vae, xla, monkeypatch):
    networks = conv((4, 4, 1), 2, posterior_params=4, likelihood_params=1, hidden=(2,))
    convolutional = VAE(*networks)
    convolutional.compile("sgd")
    gpu = bool(tf.config.list_physical_devices("GPU"))
    assert convolutional.jit_compile == gpu
    vae = small_vae()
    vae.compile("sgd")
    assert vae.jit_compile
    assert vae.get_compile_config()["jit_compile"] == "auto"
    assert vae.get_compile_config()["steps_per_execution"] == "auto"
    again = small_vae()
    again.compile_from_config(vae.get_compile_config())
    assert again.get_compile_config() == vae.get_compile_config()
    monkeypatch.setenv("KERAS_VAE_XLA", "0")
    vae.compile("sgd")
    assert not vae.jit_compile


def test_predict_gives_every_image_whatever_fit_has_chosen(small_vae, images):
    x, vae = images(60), small_vae()
    vae.compile("sgd", steps_per_execution=5, jit_compile=False)
    assert len(vae.predict(x, batch_size=4, verbose=0)) == 60
    vae.fit(x, batch_size=4, verbose=0)
    again = vae.predict(x, batch_size=4, verbose=0)
    np.testing.assert_allclose(again, vae.reconstruct(x), atol=1e-6)
    assert len(vae.predict_on_batch(x)) == 60
    endless = tf.data.Dataset.from_tensor_slices(x).batch(4).repeat()
    assert len(vae.predict(endless, steps=3, verbose=0)) == 12
    assert len(vae.predict(ArraySplit(x), verbose=0)) == 60
    assert vae.steps_per_execution == 5


@pytest.mark.parametrize("steps", [1, 3])
def test_a_generator_validates_batch_after_batch(small_vae, images, steps):
    x, vae, seen = images(24), small_vae(), []

    def counted():
        for batch in batches(x):
            seen.append(len(batch))
            yield batch

    vae.compile("sgd", steps_per_execution=steps, jit_compile=False)
    logs = vae.fit(
        x,
        batch_size=4,
        epochs=3,
        verbose=0,
        validation_data=counted(),
        validation_steps=2,
    ).history
    assert len(logs["val_loss"]) == 3 and sum(seen) == 24
