import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_vae.data import pipeline
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp

SHAPE = (8, 8, 1)


def images(number, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (number, *SHAPE), np.uint8)


def trained(steps, jit_compile=True, optimizer=None, epochs=2, x=None, **fit):
    encoder, decoder = mlp(SHAPE, 2, posterior_params=4, likelihood_params=1, seed=5)
    vae = VAE(encoder, decoder, seed=2)
    vae.compile(
        optimizer or keras.optimizers.Adam(1e-2),
        steps_per_execution=steps,
        jit_compile=jit_compile,
    )
    x = images(123) if x is None else x  # 16 batches, the last of 3 images
    history = vae.fit(x, batch_size=8, epochs=epochs, verbose=0, **fit)
    return vae, history.history


def assert_same(vae, other, rtol=1e-5):
    for a, b in zip(vae.get_weights(), other.get_weights(), strict=True):
        # relative to the weights of a layer, not to each single one near zero
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("steps", [7, "auto"])
def test_fused_steps_give_the_weights_of_the_stock_loop(steps, jit_compile):
    stock, stock_history = trained(1, jit_compile)
    fused, history = trained(steps, jit_compile)
    assert_same(fused, stock)
    assert (
        fused.optimizer.iterations.numpy() == stock.optimizer.iterations.numpy() == 32
    )
    for name in stock_history:
        np.testing.assert_allclose(history[name], stock_history[name], rtol=1e-5)


def test_xla_changes_the_speed_not_the_result():
    # SGD: Adam's first steps have the gradient's sign, and turn its last bit into one
    compiled, _ = trained(7, jit_compile=True, optimizer=keras.optimizers.SGD(1e-3))
    graph, _ = trained(7, jit_compile=False, optimizer=keras.optimizers.SGD(1e-3))
    assert_same(compiled, graph)


def test_a_ragged_dataset_trains_as_in_the_stock_loop():
    x = images(123)
    dataset = tf.data.Dataset.from_tensor_slices(x).batch(8)
    ragged, _ = trained(5, x=dataset)
    stock, _ = trained(1, x=dataset)
    assert ragged.optimizer.iterations.numpy() == 32
    assert_same(ragged, stock)


def test_steps_per_epoch_of_an_endless_dataset_are_kept():
    dataset = tf.data.Dataset.from_tensor_slices(images(64)).repeat().batch(8)
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(batch)
    )
    vae, _ = trained(
        "auto", x=dataset, steps_per_epoch=14, callbacks=[callback], epochs=3
    )
    assert vae.optimizer.iterations.numpy() == 42
    assert seen[-1] == 13


def test_callbacks_schedules_clipping_and_averages_keep_working():
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-2, 10, 0.5)

    def optimizer():
        return keras.optimizers.Adam(
            schedule, clipnorm=0.5, use_ema=True, ema_momentum=0.9
        )

    def stop():
        return keras.callbacks.EarlyStopping("loss", baseline=-1.0, patience=2)

    stock, stock_history = trained(
        1, True, optimizer(), epochs=9, callbacks=[stop()], validation_data=images(20)
    )
    fused, history = trained(
        7, True, optimizer(), epochs=9, callbacks=[stop()], validation_data=images(20)
    )
    assert len(history["loss"]) == len(stock_history["loss"]) < 9
    np.testing.assert_allclose(
        history["val_elbo"], stock_history["val_elbo"], rtol=1e-4
    )
    assert_same(fused, stock, rtol=1e-4)


def test_one_program_serves_full_and_partial_slices(monkeypatch):
    vae, _ = trained(5)  # 16 steps: three slices of 5 and one of 1
    assert vae.train_function._run.experimental_get_tracing_count() == 1
    assert vae.compile_seconds > 0


def test_a_network_that_xla_cannot_compile_trains_all_the_same(xla):
    inputs = keras.Input(SHAPE)
    flat = layers.Flatten()(inputs)

    def square_root(tensor):  # an operation that XLA has no kernel for
        values = tf.numpy_function(np.sqrt, [tf.stop_gradient(tensor)], tf.float32)
        return tf.ensure_shape(values, (None, 64))

    odd = layers.Lambda(square_root, (64,))(flat)
    encoder = keras.Model(inputs, layers.Dense(4)(layers.Concatenate()([flat, odd])))
    _, decoder = mlp(SHAPE, 2, posterior_params=4, likelihood_params=1)
    vae = VAE(encoder, decoder)
    vae.compile("adam", steps_per_execution=4)
    with pytest.warns(UserWarning, match="XLA cannot compile this model") as warned:
        vae.fit(images(30), batch_size=8, epochs=2, verbose=0)
    assert len([w for w in warned if "XLA" in str(w.message)]) == 1
    assert vae.optimizer.iterations.numpy() == 8


def test_validation_takes_the_batch_size_of_training(monkeypatch):
    sizes = []
    batches = pipeline.evaluation_batches

    def spy(*arrays, batch_size, **kwargs):
        sizes.append(batch_size)
        return batches(*arrays, batch_size=batch_size, **kwargs)

    monkeypatch.setattr(pipeline, "evaluation_batches", spy)
    trained(4, epochs=1, validation_data=images(20))
    trained(4, epochs=1, validation_data=images(20), validation_batch_size=5)
    assert sizes == [8, 5]
