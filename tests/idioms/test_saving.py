"""Saving, loading, weights, mixed precision and classes of a user's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_vae.errors import UsageError
from keras_vae.model import VAE
from keras_vae.objectives.elbo import ELBO

BATCH = 4


def fitted(vae, x, *y, epochs=1):
    vae.fit(x, *y, batch_size=BATCH, epochs=epochs, verbose=0)
    return vae


# === Saving ===


FOUR = {"beta": 4.0}


@pytest.mark.parametrize(
    "objective",
    [
        {"class_name": "ELBO", "config": FOUR},
        {"class_name": "keras_vae>ELBO", "config": FOUR},
        {"module": "keras_vae", "class_name": "ELBO", "config": FOUR},
        {"module": "keras_vae.objectives.elbo", "class_name": "ELBO", "config": FOUR},
        keras.saving.serialize_keras_object(ELBO(beta=4.0)),
        ELBO(beta=4.0),
    ],
)
def test_components_are_what_keras_serializes(make_vae, objective):
    assert make_vae(objective=objective).objective.get_config()["beta"] == 4.0
    vae = make_vae(objective={"class_name": "ELBO"})  # with its defaults
    assert vae.objective.get_config()["beta"] == 1.0


def test_a_saved_model_goes_on_as_if_it_had_not_been(
    make_vae, assert_same, bytes_, tmp_path
):
    vae = fitted(make_vae(objective=ELBO(beta=4.0)), bytes_)
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    assert loaded.objective.get_config()["beta"] == 4.0
    expected = vae.evaluate(bytes_, batch_size=BATCH, verbose=0)
    assert loaded.evaluate(bytes_, batch_size=BATCH, verbose=0) == expected
    for one in (vae, loaded):  # its noise goes on, too
        one.fit(bytes_, batch_size=BATCH, epochs=2, initial_epoch=1, verbose=0)
    assert_same(vae, loaded)


@pytest.mark.parametrize(
    "load",
    [
        lambda vae, path: keras.saving.load_model(path),
        lambda vae, path: keras.models.load_model(path, compile=False),
        lambda vae, path: VAE.from_config(vae.get_config()),
        lambda vae, path: keras.models.model_from_json(vae.to_json()),
        lambda vae, path: keras.models.clone_model(vae),
    ],
)
def test_other_ways_back_give_the_same_model(make_vae, bytes_, tmp_path, load):
    vae = make_vae(binarization="dynamic", num_samples=2)
    vae.save(tmp_path / "vae.keras")
    again = load(vae, tmp_path / "vae.keras")
    again.set_weights(vae.get_weights())
    assert again.binarization == "dynamic" and again.num_samples == 2
    np.testing.assert_array_equal(again.generate(3), vae.generate(3))


def test_weights_alone_are_saved_and_set(make_vae, bytes_, tmp_path):
    vae, other = fitted(make_vae(), bytes_), make_vae()
    vae.save_weights(tmp_path / "vae.weights.h5")
    other.load_weights(tmp_path / "vae.weights.h5")
    np.testing.assert_array_equal(other.generate(3), vae.generate(3))
    third = make_vae()
    third.set_weights(vae.get_weights())
    np.testing.assert_array_equal(third.generate(3), vae.generate(3))


def test_weights_of_files_without_noise_are_loaded(make_vae, bytes_, tmp_path):
    import h5py

    vae, other = fitted(make_vae(), bytes_), make_vae()
    vae.save_weights(tmp_path / "vae.weights.h5")
    with h5py.File(tmp_path / "vae.weights.h5", "r+") as file:
        del file["vars"]["noise"]
    other.load_weights(tmp_path / "vae.weights.h5")
    np.testing.assert_array_equal(other.generate(3), vae.generate(3))


def test_compile_of_a_saved_model_is_that_of_the_first(make_vae, tmp_path):
    vae = make_vae()
    vae.compile(keras.optimizers.SGD(0.5), steps_per_execution=7, run_eagerly=True)
    vae.save(tmp_path / "vae.keras")
    again = keras.models.load_model(tmp_path / "vae.keras")
    assert again.get_compile_config() == vae.get_compile_config()
    assert again.run_eagerly


def test_a_model_that_was_never_compiled_is_saved(make_vae, tmp_path):
    compiled = make_vae()
    vae = type(compiled).from_config(compiled.get_config())
    vae.save(tmp_path / "vae.keras")
    again = keras.models.load_model(tmp_path / "vae.keras")
    assert not again.compiled
    np.testing.assert_array_equal(again.generate(3), vae.generate(3))


# === Mixed precision ===


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_in_every_form(make_vae, bytes_, tmp_path, policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        vae = make_vae()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    scaled = isinstance(vae.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    floats = (bytes_ / 255).astype(np.float16)
    for x in (bytes_, floats, tf.data.Dataset.from_tensor_slices(floats).batch(BATCH)):
        fitted(vae, x)
    assert {weight.dtype for weight in vae.trainable_weights} == {"float32"}
    images = vae.predict(bytes_, verbose=0)
    assert images.dtype == np.float32
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(loaded.predict(bytes_, verbose=0), images)
    np.testing.assert_array_equal(loaded.generate(3), vae.generate(3))


def test_a_float16_model_of_a_loss_scale_of_ones_own(make_vae, bytes_):
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), 8.0)
    vae = fitted(make_vae(optimizer=optimizer), bytes_)
    assert float(optimizer.dynamic_scale) == 8.0
    assert vae.optimizer is optimizer


# === Classes of a user's own ===


@keras.saving.register_keras_serializable("idioms")
class Encoder(keras.Model):
    """A subclassed encoder, as keras.io's guides write it."""

    def __init__(self, pair=False, **kwargs):
        super().__init__(**kwargs)
        self.pair = pair
        self.flatten = layers.Flatten()
        self.hidden = layers.Dense(8, activation="relu")
        self.dropout = layers.Dropout(0.1, seed=3)
        self.params = layers.Dense(4)

    def call(self, inputs, training=False):
        x, *label = inputs if isinstance(inputs, list | tuple) else (inputs,)
        h = self.hidden(self.flatten(x))
        if label:
            h = h + keras.ops.cast(label[0], h.dtype)[:, None]
        params = self.params(self.dropout(h, training=training))
        return (params[:, :2], params[:, 2:]) if self.pair else params

    def get_config(self):
        return {**super().get_config(), "pair": self.pair}


@keras.saving.register_keras_serializable("idioms")
class Decoder(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = layers.Dense(8, activation="relu")
        self.logits = layers.Dense(30)
        self.reshape = layers.Reshape((6, 5, 1))

    def call(self, inputs):
        z, *label = inputs if isinstance(inputs, list | tuple) else (inputs,)
        h = self.hidden(z)
        if label:
            h = h + keras.ops.cast(label[0], h.dtype)[:, None]
        return self.reshape(self.logits(h))


def called(network, shape, labeled=False):
    x = np.zeros((2, *shape), np.float32)
    network([x, np.zeros(2, np.int64)] if labeled else x)
    return network


def compiled(vae):
    vae.compile("adam", steps_per_execution=2, jit_compile=False)
    return vae


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("way", ["called", "arguments"])
def test_subclassed_networks_train_save_and_export(bytes_, tmp_path, pair, way):
    encoder, decoder, shapes = Encoder(pair), Decoder(), {}
    if way == "called":
        called(encoder, (6, 5, 1)), called(decoder, (2,))
    else:
        shapes = {"image_shape": (6, 5, 1), "latent_dim": 2}
    vae = fitted(compiled(VAE(encoder, decoder, **shapes)), bytes_, epochs=2)
    assert (vae.image_shape, vae.latent_dim) == ((6, 5, 1), 2)
    assert any(layer is encoder for layer in vae.encoder.layers)
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(loaded.generate(3), vae.generate(3))
    for one in (vae, loaded):
        one.fit(bytes_, batch_size=BATCH, verbose=0)
    np.testing.assert_array_equal(loaded.generate(3), vae.generate(3))


def test_a_subclassed_decoder_is_exported(bytes_, tmp_path):
    import onnxruntime

    from export import export_decoder

    vae = VAE(Encoder(), Decoder(), image_shape=(6, 5, 1), latent_dim=2)
    export_decoder(fitted(compiled(vae), bytes_), tmp_path / "decoder", ["onnx"])
    session = onnxruntime.InferenceSession(tmp_path / "decoder" / "decoder.onnx")
    z = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    (images,) = session.run(None, {"z": z})
    np.testing.assert_allclose(images, vae.decode(z), atol=1e-6)
    vae.export(tmp_path / "vae", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "vae")
    served = loaded.serve(bytes_ / np.float32(255))
    np.testing.assert_allclose(served, vae.reconstruct(bytes_), atol=1e-6)


def test_conditional_subclassed_networks_train(bytes_, labels):
    encoder = called(Encoder(), (6, 5, 1), labeled=True)
    decoder = called(Decoder(), (2,), labeled=True)
    vae = fitted(compiled(VAE(encoder, decoder, num_classes=3)), bytes_, labels)
    assert vae.generate(3, label=[0, 1, 2]).shape == (3, 6, 5, 1)


def test_a_sequential_model_without_an_input_is_taken_as_it_was_called(bytes_):
    encoder = keras.Sequential([layers.Flatten(), layers.Dense(4)])
    decoder = keras.Sequential([layers.Dense(30), layers.Reshape((6, 5, 1))])
    called(encoder, (6, 5, 1)), called(decoder, (2,))
    vae = fitted(compiled(VAE(encoder, decoder)), bytes_)
    assert vae.predict(bytes_, verbose=0).shape == bytes_.shape
    encoder = keras.Sequential([layers.Flatten(), layers.Dense(4)])
    compiled(VAE(encoder, decoder, image_shape=(6, 5, 1)))


@pytest.mark.parametrize(
    ("encoder", "decoder", "shapes", "sentence"),
    [
        (Encoder, Decoder, {}, r"encoder must be built.*VAE\(..., image_shape=...\)"),
        (Encoder, Decoder, {"image_shape": (6, 5, 1)}, "decoder must .*latent_dim="),
        (
            Encoder,
            Decoder,
            {"image_shape": (6, 5), "latent_dim": 2},
            "takes .*must tak",
        ),
        (
            lambda: called(Encoder(), (6, 5, 1)),
            Decoder,
            {"image_shape": (7, 5, 1), "latent_dim": 2},
            r"takes \(6, 5, 1\); image_shape says \(7, 5, 1\)",
        ),
        (
            lambda: called(Encoder(), (6, 5, 1)),
            lambda: called(Decoder(), (3,)),
            {},
            "must give 6 numbers an image for latent_dim=3; it gives 4",
        ),
    ],
)
def test_subclassed_networks_that_do_not_fit(encoder, decoder, shapes, sentence):
    with pytest.raises(UsageError, match=sentence):
        VAE(encoder(), decoder(), **shapes)
