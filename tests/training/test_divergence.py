"""A loss that is no number ends the training there, and nothing is saved of it."""

import keras
import numpy as np
import pytest

from keras_vae.errors import DivergedError
from keras_vae.objectives.elbo import ELBO
from keras_vae.training import callbacks, state

EPOCH = 7  # steps


@pytest.fixture
def diverging(small_vae):
    """Makes a model whose loss is finite up to a step, and NaN there."""

    def diverging(step, steps_per_execution=3, **compiled):
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(
            [step - 3],
            [1e-3, 1e30],  # wild in the step before
        )
        vae = small_vae()
        vae.compile(
            keras.optimizers.SGD(rate),
            steps_per_execution=steps_per_execution,
            **{"jit_compile": False, **compiled},
        )
        return vae

    return diverging


class Seen(keras.callbacks.Callback):
    """Notes what it is told."""

    def __init__(self):
        super().__init__()
        self.epochs, self.losses = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)


@pytest.mark.parametrize(
    "compiled",
    [
        {"steps_per_execution": 1},
        {"steps_per_execution": 1, "jit_compile": True},
        {"steps_per_execution": 3},
        {"steps_per_execution": 7, "jit_compile": True},
        {"steps_per_execution": "auto", "jit_compile": True},
        {"run_eagerly": True},
    ],
    ids=str,
)
@pytest.mark.parametrize(("step", "epoch"), [(5, 1), (EPOCH + 5, 2)])
def test_no_step_is_trained_after_a_loss_that_is_not_finite(
    diverging, images, compiled, step, epoch
):
    vae, seen = diverging(step, **compiled), Seen()
    kept = "what was saved of the epochs before is" if epoch > 1 else "no epoch was"
    sentence = f"loss became (nan|inf) at step 5 of epoch {epoch}; {kept} .* lower"
    with pytest.raises(DivergedError, match=sentence):
        vae.fit(images(26), batch_size=4, epochs=4, verbose=0, callbacks=[seen])
    assert vae.optimizer.iterations == step
    assert seen.epochs == list(range(epoch - 1))
    assert np.isfinite(seen.losses).all()


@pytest.mark.parametrize("given", [Seen, keras.callbacks.CallbackList, lambda x: [[x]]])
def test_a_divergence_comes_before_every_other_callback(diverging, images, given):
    vae, seen = diverging(5), Seen()
    with pytest.raises(DivergedError, match="at step 5 of epoch 1"):
        vae.fit(
            images(26),
            batch_size=4,
            verbose=0,
            callbacks=seen if given is Seen else given([seen]),
        )
    assert np.isfinite(seen.losses).all()


def test_nothing_is_saved_of_an_epoch_that_diverged(diverging, images, tmp_path):
    vae = diverging(EPOCH + 5)
    kept = [
        callbacks.BestWeights(tmp_path / "best.safetensors", "elbo"),
        callbacks.History(tmp_path / "history.csv"),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "step.weights.h5", save_weights_only=True, save_freq=1
        ),
    ]
    with pytest.raises(DivergedError, match="of epoch 2"):
        vae.fit(images(26), batch_size=4, epochs=9, verbose=0, callbacks=kept)
    vae.load_weights(tmp_path / "step.weights.h5")
    assert all(np.isfinite(weight).all() for weight in vae.get_weights())
    arrays, facts = state.read(tmp_path / "best.safetensors")
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert facts["epoch"] == 1
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize("steps", [1, 3])
def test_terminate_on_nan_ends_the_training_in_its_own_way(diverging, images, steps):
    vae = diverging(EPOCH + 5, steps)
    stop = keras.callbacks.TerminateOnNaN()
    history = vae.fit(images(26), batch_size=4, epochs=9, verbose=0, callbacks=[stop])
    assert history.epoch == [0, 1]
    assert vae.optimizer.iterations == EPOCH + 5


def impossible_where_white(log_prob):
    """A likelihood that gives no white image any probability."""

    def other(params, x):
        white = keras.ops.all(x == 1.0, axis=(1, 2, 3))
        return keras.ops.where(white, -np.inf, log_prob(params, x))

    return other


def test_evaluation_and_validation_have_no_result_that_is_no_number(small_vae, images):
    x, white, vae, seen = images(8), np.ones((8, 6, 5, 1)), small_vae(), Seen()
    vae.likelihood.log_prob = impossible_where_white(vae.likelihood.log_prob)
    with pytest.raises(DivergedError, match="The loss became .* in the validation of"):
        vae.fit(x, validation_data=white, verbose=0, callbacks=[seen])
    assert seen.epochs == []
    with pytest.raises(DivergedError, match="The loss of the evaluation is "):
        vae.evaluate(white, batch_size=4, verbose=0)
    assert np.isfinite(vae.evaluate(x, batch_size=4, verbose=0)).all()


def test_a_metric_that_is_no_number_is_found_where_the_loss_is_finite(small_vae):
    class Clipped(ELBO):
        def loss(self, terms):
            return keras.ops.minimum(super().loss(terms), 1e6)

    vae, seen = small_vae(objective=Clipped()), Seen()
    vae.likelihood.log_prob = impossible_where_white(vae.likelihood.log_prob)
    with pytest.raises(DivergedError, match="The elbo became -inf in epoch 1; no"):
        vae.fit(np.ones((8, 6, 5, 1)), batch_size=4, verbose=0, callbacks=[seen])
    assert seen.epochs == [] and seen.losses == [1e6]


def test_a_skipped_step_of_float16_is_no_divergence(small_vae, images):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        vae = small_vae()
    finally:
        keras.config.set_dtype_policy("float32")
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(1e-3), initial_scale=2.0**100
    )
    vae.compile(optimizer, steps_per_execution=3, jit_compile=False)
    before = vae.get_weights()
    history = vae.fit(images(26), batch_size=4, verbose=0).history
    assert optimizer.iterations == 0 and np.isfinite(history["loss"]).all()
    assert optimizer.dynamic_scale == 2.0**93  # halved at each of the 7 steps
    for one, other in zip(vae.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    vae.fit(images(26), batch_size=4, epochs=20, verbose=0)
    assert optimizer.iterations > 0
