"""Arguments of fit, evaluate, predict and compile do what Keras documents."""

import keras
import numpy as np
import pytest
import tensorflow as tf

METRICS = {"loss", "elbo", "log_likelihood", "kl_divergence"}


def data_set(*parts, batch_size=4):
    element = parts if len(parts) > 1 else parts[0]
    return tf.data.Dataset.from_tensor_slices(element).batch(batch_size)


def evaluated(vae, x, **kwargs):
    return vae.evaluate(x, verbose=0, return_dict=True, **kwargs)


# === compile ===


@pytest.mark.parametrize(
    "optimizer",
    [
        "sgd",
        "RMSprop",
        "adamw",
        "lion",
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, 10)),
        keras.optimizers.SGD(1e-2, momentum=0.9, nesterov=True, clipvalue=0.1),
        keras.optimizers.Adam(1e-2, use_ema=True),
        keras.optimizers.SGD(1e-2, gradient_accumulation_steps=2),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-2)),
        {"class_name": "Adam", "config": {"learning_rate": 0.01}},
    ],
)
def test_compile_takes_the_optimizers_of_keras(make_vae, bytes_, optimizer):
    vae = make_vae(optimizer=optimizer)
    before = vae.get_weights()
    vae.fit(bytes_, batch_size=4, verbose=0, epochs=2)
    for a, b in zip(before, vae.get_weights(), strict=True):
        assert a.shape == () or not np.array_equal(a, b)  # beta stays
    accumulated = vae.optimizer.gradient_accumulation_steps or 1
    assert vae.optimizer.iterations.numpy() == 6 / accumulated


@pytest.mark.parametrize("keywords", [{"run_eagerly": True}, {"jit_compile": True}])
def test_compile_changes_the_speed_not_the_numbers(make_vae, bytes_, keywords):
    one, other = make_vae(optimizer="sgd"), make_vae()
    other.compile("sgd", steps_per_execution=2, **keywords)
    for vae in (one, other):
        vae.fit(bytes_, batch_size=4, verbose=0)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_frozen_layers_stay_what_they_are_after_compile(make_vae, bytes_):
    vae = make_vae()
    vae.encoder.trainable = False
    vae.compile("adam", steps_per_execution=2, jit_compile=False)
    encoder, decoder = vae.encoder.get_weights(), vae.decoder.get_weights()
    vae.fit(bytes_, batch_size=4, verbose=0)
    for before, after in zip(encoder, vae.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(decoder[0], vae.decoder.get_weights()[0])


# === fit ===


def test_positional_arguments_are_those_of_keras(make_vae, assert_same, bytes_, floats):
    one, other = make_vae(), make_vae()
    one.fit(bytes_, None, 4, 2, 0, None, 0.2, None, False)
    other.fit(
        x=bytes_,
        batch_size=4,
        epochs=2,
        verbose=0,
        validation_split=0.2,
        shuffle=False,
    )
    assert_same(one, other)
    assert one.evaluate(bytes_, None, 4, 0) == evaluated_list(one, bytes_)
    np.testing.assert_array_equal(
        one.predict(bytes_, 4, 0), one.predict(bytes_, batch_size=4, verbose=0)
    )


def evaluated_list(vae, x):
    return vae.evaluate(x, batch_size=4, verbose=0)


def test_history_and_metrics_have_the_names_of_the_terms(fresh, bytes_):
    vae = fresh()
    done = vae.fit(bytes_, batch_size=4, epochs=2, verbose=0, validation_data=bytes_)
    assert isinstance(done, keras.callbacks.History) and done is vae.history
    assert set(done.history) == METRICS | {f"val_{name}" for name in METRICS}
    assert set(vae.metrics_names) == METRICS
    assert done.epoch == [0, 1]
    assert {len(values) for values in done.history.values()} == {2}


def test_weights_of_images_are_those_of_the_batches(fresh, make_vae, bytes_, labels):
    weight = np.linspace(0, 2, 10, dtype=np.float32)
    one, other = make_vae(), fresh()
    one.fit(bytes_, sample_weight=weight, batch_size=4, shuffle=False, verbose=0)
    other.fit(data_set(bytes_, labels, weight), verbose=0)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_images_of_weight_zero_do_not_count(make_vae, bytes_):
    vae = make_vae()
    weight = np.repeat([1.0, 0.0], [8, 2])
    expected = evaluated(vae, bytes_[:8], batch_size=4)
    found = evaluated(vae, bytes_, batch_size=4, sample_weight=weight)
    assert found == pytest.approx(expected, rel=1e-6)
    assert found != evaluated(vae, bytes_, batch_size=4)


@pytest.mark.parametrize(
    "validation",
    [
        lambda x, y: x,
        lambda x, y: (x, y),
        lambda x, y: (x, x),
        lambda x, y: (x, y, np.ones(len(x))),
        lambda x, y: data_set(x),
        lambda x, y: data_set(x, y),
        lambda x, y: data_set(x).repeat(),
        lambda x, y: {"image": x},
    ],
)
def test_validation_data_give_what_evaluate_gives(fresh, bytes_, labels, validation):
    vae = fresh()
    data = validation(bytes_, labels)
    steps = 3 if isinstance(data, tf.data.Dataset) else None
    history = vae.fit(
        bytes_, batch_size=4, verbose=0, validation_data=data, validation_steps=steps
    ).history
    expected = evaluated(vae, bytes_, batch_size=4)
    assert {name: history[f"val_{name}"] for name in expected} == {
        name: [value] for name, value in expected.items()
    }


def test_validation_split_is_the_last_part(fresh, make_vae, assert_same, bytes_):
    one, other = make_vae(), fresh()
    split = one.fit(bytes_, batch_size=4, verbose=0, validation_split=0.3)
    given = other.fit(bytes_[:7], batch_size=4, verbose=0, validation_data=bytes_[7:])
    assert split.history == given.history
    assert_same(one, other)


def test_validation_freq_and_steps(fresh, bytes_):
    vae = fresh()
    history = vae.fit(
        bytes_,
        batch_size=4,
        epochs=4,
        verbose=0,
        validation_data=bytes_,
        validation_freq=2,
        validation_steps=1,
    ).history
    assert len(history["val_loss"]) == 2
    assert history["val_loss"][-1] == evaluated(vae, bytes_[:4], batch_size=4)["loss"]


def test_shuffle_false_is_the_order_given(make_vae, fresh, assert_same, bytes_):
    one, other, shuffled = make_vae(), make_vae(), fresh()
    one.fit(bytes_, batch_size=4, epochs=2, shuffle=False, verbose=0)
    other.fit(data_set(bytes_), epochs=2, verbose=0)
    shuffled.fit(bytes_, batch_size=4, epochs=2, verbose=0)
    assert_same(one, other)
    assert not np.array_equal(one.get_weights()[0], shuffled.get_weights()[0])


@pytest.mark.parametrize("form", [np.asarray, data_set])
def test_steps_per_epoch_makes_epochs_of_that_length(make_vae, bytes_, form):
    vae = make_vae()
    seen = []
    vae.fit(
        form(bytes_),
        batch_size=4,
        steps_per_epoch=2,
        epochs=3,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=lambda *a: seen.append(a))
        ],
    )
    assert vae.optimizer.iterations.numpy() == 6 and len(seen) == 3


def test_initial_epoch_goes_on_in_the_order_of_one_run(make_vae, assert_same, bytes_):
    one, other = make_vae(), make_vae()
    one.fit(bytes_, batch_size=4, epochs=3, verbose=0)
    other.fit(bytes_, batch_size=4, epochs=1, verbose=0)
    done = other.fit(bytes_, batch_size=4, epochs=3, initial_epoch=1, verbose=0)
    assert done.epoch == [1, 2]
    assert_same(one, other)


def test_no_epoch_changes_nothing(fresh, bytes_):
    vae = fresh()
    before = vae.get_weights()
    assert vae.fit(bytes_, epochs=0, verbose=0).history == {}
    for a, b in zip(before, vae.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("verbose", [0, 1, 2, "auto"])
def test_verbose_prints_the_terms(fresh, bytes_, capsys, verbose):
    vae = fresh()
    vae.fit(bytes_, batch_size=4, verbose=verbose)
    vae.evaluate(bytes_, batch_size=4, verbose=verbose)
    vae.predict(bytes_, verbose=verbose)
    printed = capsys.readouterr().out
    assert ("kl_divergence" in printed) == bool(verbose)


@pytest.mark.parametrize("batch_size", [1, np.int64(3), 10, 64])
def test_batch_size_makes_steps(make_vae, bytes_, batch_size):
    vae = make_vae()
    vae.fit(bytes_, batch_size=batch_size, verbose=0)
    assert vae.optimizer.iterations.numpy() == -(-10 // batch_size)


# === evaluate and predict ===


def test_evaluate_returns_a_list_or_a_dict(fresh, bytes_):
    vae = fresh()
    as_list = vae.evaluate(bytes_, verbose=0)
    as_dict = vae.evaluate(bytes_, verbose=0, return_dict=True)
    assert as_list == [as_dict[name] for name in vae.metrics_names]


@pytest.mark.parametrize("form", [np.asarray, data_set, lambda x: data_set(x).repeat()])
def test_steps_of_evaluate_and_predict_are_the_first_ones(fresh, bytes_, form):
    vae = fresh()
    found = evaluated(vae, form(bytes_), steps=2, batch_size=4)
    assert found == evaluated(vae, bytes_[:8], batch_size=4)
    images = vae.predict(form(bytes_), batch_size=4, steps=2, verbose=0)
    expected = vae.predict(bytes_[:8], batch_size=4, verbose=0)
    np.testing.assert_array_equal(images, expected)


def test_predict_is_the_call_of_the_model(fresh, bytes_, floats):
    vae = fresh()
    images = vae.predict(bytes_, verbose=0)
    assert images.dtype == np.float32 and images.shape == bytes_.shape
    for x in (bytes_, floats, floats.astype(np.float64), tf.constant(floats)):
        np.testing.assert_allclose(vae(x), images, atol=1e-6)
        np.testing.assert_allclose(vae.predict(x, verbose=0), images, atol=1e-6)
    np.testing.assert_allclose(vae.reconstruct(bytes_), images, atol=1e-6)


def test_predict_needs_no_compile(fresh, make_vae, bytes_):
    vae = make_vae()
    bare = type(vae)(vae.encoder, vae.decoder)
    np.testing.assert_array_equal(
        bare.predict(bytes_, verbose=0), vae.predict(bytes_, verbose=0)
    )


def test_the_model_shows_itself(make_vae, capsys):
    vae = make_vae()
    vae.summary()
    printed = capsys.readouterr().out
    assert "encoder" in printed and "decoder" in printed
    assert vae.count_params() == sum(
        np.prod(weight.shape) for weight in vae.get_weights()
    )
    assert {layer.name for layer in vae.layers} >= {"encoder", "decoder"}
    assert vae.get_layer("decoder") is vae.decoder
