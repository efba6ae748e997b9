import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy.special import expit
from scipy.stats import norm

from keras_vae.config import TrainConfig
from keras_vae.data.binarization import binarize
from keras_vae.data.splits import ArraySplit
from keras_vae.distributions.posteriors import DiagonalGaussian
from keras_vae.distributions.sampling import Sampling
from keras_vae.errors import UsageError
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp
from keras_vae.runs.build import build_vae


def test_train_step_is_the_step_computed_by_hand():
    # linear encoder and decoder, 2 pixels, 1 latent, so that the chain rule is short
    encoder = keras.Sequential(
        [keras.Input((2, 1, 1)), layers.Flatten(), layers.Dense(2)]
    )
    decoder = keras.Sequential(
        [keras.Input((1,)), layers.Dense(2), layers.Reshape((2, 1, 1))]
    )
    vae = VAE(encoder, decoder, seed=3)
    vae.compile(keras.optimizers.SGD(0.1))
    w, b, v, c = (a.astype(np.float64) for a in vae.get_weights()[:4])
    x = np.array([[0.2, 0.9], [0.7, 0.1], [1.0, 0.4]])
    noise = np.asarray(Sampling(seed=3).noise(tf.zeros((3, 1)), 1), np.float64)[0]

    logs = vae.train_step(tf.constant(x.reshape(3, 2, 1, 1), tf.float32))

    mean, log_var = np.split(x @ w + b, 2, axis=1)
    z = mean + np.exp(log_var / 2) * noise
    p = expit(z @ v + c)
    log_likelihood = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1)
    kl = -0.5 * (1 + log_var - mean**2 - np.exp(log_var)).sum(1)
    d_logits = (p - x) / 3
    d_z = d_logits @ v.T
    d_log_var = d_z * noise * np.exp(log_var / 2) / 2 + (np.exp(log_var) - 1) / 6
    d_params = np.concatenate([d_z + mean / 3, d_log_var], axis=1)
    gradients = [x.T @ d_params, d_params.sum(0), z.T @ d_logits, d_logits.sum(0)]
    for weight, old, gradient in zip(
        vae.get_weights()[:4], (w, b, v, c), gradients, strict=True
    ):
        # float32 arithmetic of a dozen operations
        np.testing.assert_allclose(weight, old - 0.1 * gradient, rtol=1e-5, atol=1e-6)
    elbo = np.mean(log_likelihood - kl)
    np.testing.assert_allclose(float(logs["loss"]), -elbo, rtol=1e-6)
    np.testing.assert_allclose(float(logs["kl_divergence"]), kl.mean(), rtol=1e-5)


def test_metrics_add_up_and_are_exact_with_a_short_last_batch(small_vae, images):
    vae = small_vae()
    output = vae.encoder.layers[-1]
    kernel, bias = output.get_weights()
    bias[3:] = -30.0  # a variance of 1e-13: noise cannot be seen
    kernel[:, 3:] = 0.0
    output.set_weights([kernel, bias])
    x = images(10)
    metrics = vae.evaluate(x, batch_size=4, return_dict=True, verbose=0)

    scaled = x / 255.0
    mean = vae.encode(x)
    p = vae.decode(mean).astype(np.float64)
    log_likelihood = (scaled * np.log(p) + (1 - scaled) * np.log(1 - p)).sum((1, 2, 3))
    log_q = norm.logpdf(0, 0, np.exp(-15)) * 3
    kl = 0.5 * (mean**2 + np.exp(-30.0) + 30 - 1).sum(1)
    assert np.isfinite(log_q)
    # float32 sums of 30 pixels
    np.testing.assert_allclose(
        metrics["log_likelihood"], log_likelihood.mean(), rtol=1e-5
    )
    np.testing.assert_allclose(metrics["kl_divergence"], kl.mean(), rtol=1e-5)
    np.testing.assert_allclose(
        metrics["elbo"], metrics["log_likelihood"] - metrics["kl_divergence"], rtol=1e-6
    )
    np.testing.assert_allclose(metrics["loss"], -metrics["elbo"], rtol=1e-6)


def test_evaluate_repeats_itself_and_leaves_the_training_noise_alone(small_vae, images):
    x = images(20)
    quiet, evaluated = small_vae(), small_vae()
    quiet.fit(x, batch_size=8, epochs=2, verbose=0)
    evaluated.fit(x, batch_size=8, epochs=1, verbose=0)
    first = evaluated.evaluate(x, verbose=0)
    assert first == evaluated.evaluate(x, verbose=0)
    evaluated.fit(x, batch_size=8, epochs=2, initial_epoch=1, verbose=0)
    for a, b in zip(quiet.get_weights(), evaluated.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_seed_trains_to_the_same_weights(small_vae, images):
    runs = []
    for _ in range(2):
        keras.utils.clear_session()
        vae = small_vae(seed=4)
        vae.fit(images(21), batch_size=8, epochs=2, verbose=0)
        runs.append(vae.get_weights())
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_predict_and_reconstruct_give_the_mean_image(small_vae, images):
    vae, x = small_vae(), images(9)
    predicted = vae.predict(x, verbose=0)
    np.testing.assert_allclose(predicted, vae.reconstruct(x), atol=1e-6)
    assert predicted.shape == (9, 6, 5, 1)
    assert 0 <= predicted.min() and predicted.max() <= 1


def test_generate_is_stable_under_the_number_of_images(small_vae):
    vae = small_vae()
    many = vae.generate(1500, seed=5)
    np.testing.assert_allclose(vae.generate(3, seed=5), many[:3], atol=1e-6)
    assert np.abs(vae.generate(3, seed=6) - many[:3]).max() > 1e-4


def test_conditional_model_uses_its_labels(small_vae, images):
    x, y = images(12), np.arange(12) % 3
    vae = small_vae(num_classes=3, num_samples=2)
    vae.fit(x, y, batch_size=4, verbose=0)
    sevens, ones = vae.generate(2, seed=1, label=2), vae.generate(2, seed=1, label=1)
    assert np.abs(sevens - ones).max() > 1e-4
    assert vae.reconstruct(x, y).shape == x.shape


def test_saved_model_comes_back_with_every_argument(small_vae, images, tmp_path):
    vae = small_vae(
        num_samples=4,
        num_classes=3,
        objective={
            "module": "keras_vae.objectives",
            "class_name": "ELBO",
            "config": {"beta": 2.5, "name": "objective"},
            "registered_name": "keras_vae>ELBO",
        },
    )
    vae.compile(keras.optimizers.SGD(0.05, momentum=0.9), steps_per_execution=3)
    x, y = images(12), np.arange(12) % 3
    vae.fit(x, y, batch_size=4, verbose=0)
    vae.save(tmp_path / "vae.keras")
    again = keras.saving.load_model(tmp_path / "vae.keras")
    assert isinstance(again, VAE)
    for part in ("latents", "likelihood", "objective"):
        configs = [json.dumps(model.get_config()[part]) for model in (again, vae)]
        assert configs[0] == configs[1]
    assert again.num_samples == 4 and again.num_classes == 3 and again.seed == 1
    assert float(again.objective.beta) == 2.5
    assert isinstance(again.optimizer, keras.optimizers.SGD)
    assert again.evaluate(x, y, verbose=0) == vae.evaluate(x, y, verbose=0)
    for a, b in zip(vae.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_gradient_is_lost_on_the_way_through_the_sampling(small_vae, images):
    vae = small_vae()
    x = tf.constant(images(4) / 255.0, tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(vae.objective.loss(vae.terms(x, training=True)))
    for gradient in tape.gradient(loss, vae.trainable_weights):
        assert np.abs(gradient).max() > 0


def test_bfloat16_trains_float32_weights_to_about_the_same_elbo(images):
    x = images(64)
    elbos = []
    for precision in ("float32", "bfloat16"):
        config = TrainConfig(
            hidden=(32,), latent_dim=3, precision=precision, learning_rate=1e-2
        )
        vae = build_vae(config, (6, 5, 1), num_images=64)
        vae.compile(keras.optimizers.Adam(1e-2), steps_per_execution=4)
        vae.fit(x, batch_size=16, epochs=10, verbose=0)
        assert {w.dtype for w in vae.trainable_weights} == {"float32"}
        elbos.append(vae.evaluate(x, verbose=0, return_dict=True)["elbo"])
    assert vae.encoder.layers[-1].compute_dtype == "bfloat16"
    # bfloat16 keeps 8 bits: the paths part slowly, the bound stays close
    assert elbos[1] == pytest.approx(elbos[0], rel=0.01)


def test_dynamic_binarization_draws_anew_and_evaluates_the_same_images(
    small_vae, images
):
    x = images(40)
    vae = small_vae(binarization="dynamic")
    first, second = vae._observed(x), vae._observed(x)
    for drawn in (first, second):
        assert set(np.unique(drawn)) == {0.0, 1.0}
    assert np.mean(np.asarray(first) != np.asarray(second)) > 0.1
    # each pixel is on with the probability of its grey level: 200 draws, 5 sigma
    draws = np.mean([vae._observed(x[:4]) for _ in range(200)], axis=0)
    np.testing.assert_allclose(draws, x[:4] / 255.0, atol=5 * np.sqrt(0.25 / 200))
    assert vae.evaluate(x, batch_size=40, verbose=0) == pytest.approx(
        vae.evaluate(binarize(x), batch_size=40, verbose=0), rel=1e-6
    )


def test_the_reported_loss_is_what_is_minimized(images):
    """A regularizer counts in the loss, in training and validation, not in the elbo."""
    encoder, decoder = mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1)
    hidden = layers.Dense(4, kernel_regularizer=keras.regularizers.L2(0.1))
    z = keras.Input((3,))
    decoder = keras.Model(z, layers.Reshape((6, 5, 1))(layers.Dense(30)(hidden(z))))
    vae = VAE(encoder, decoder)
    vae.compile(keras.optimizers.SGD(0.0), steps_per_execution=2, jit_compile=False)
    added = 0.1 * np.sum(np.square(hidden.kernel))
    logs = vae.fit(images(8), batch_size=3, verbose=0, validation_data=images(5))
    for prefix in ("", "val_"):
        loss, elbo = (logs.history[prefix + name][0] for name in ("loss", "elbo"))
        assert loss == pytest.approx(-elbo + added, rel=1e-6)


class Attentive(DiagonalGaussian):
    """A posterior that adds a loss of its own at every pass, as codebooks do."""

    def sample_and_log_prob(self, params, num_samples=1):
        self.add_loss(keras.ops.mean(keras.ops.square(params)))
        return super().sample_and_log_prob(params, num_samples)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_posterior_may_add_a_loss(images, steps):
    encoder, decoder = mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1)
    vae = VAE(encoder, decoder, posterior=Attentive(3, seed=0))
    vae.compile("adam", steps_per_execution=steps, jit_compile=False)
    logs = vae.fit(images(9), batch_size=3, epochs=2, verbose=0).history
    assert logs["loss"][1] > -logs["elbo"][1]
    vae.fit(images(9), batch_size=9, epochs=1, verbose=0)


def test_use_before_compile_says_what_keras_says(images):
    vae = VAE(*mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1))
    for use in (vae.fit, vae.evaluate):
        with pytest.raises(ValueError, match=r"must call `compile\(\)` before"):
            use(images(3))


@pytest.mark.parametrize("num_classes", [None, 3])
def test_keras_own_export_writes_the_reconstruction(
    small_vae, images, num_classes, tmp_path
):
    vae, x, label = small_vae(num_classes=num_classes), images(4), np.arange(4) % 3
    vae.export(tmp_path / "vae", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "vae")
    scaled = tf.constant(x / np.float32(255))
    inputs = scaled if num_classes is None else [scaled, tf.constant(label)]
    actual = loaded.serve(inputs)
    np.testing.assert_allclose(actual, vae.reconstruct(x, label), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_returns_float32(small_vae, images, policy):
    keras.config.set_dtype_policy(policy)
    try:
        vae = small_vae()
    finally:
        keras.config.set_dtype_policy("float32")
    x = images(4)
    vae.fit(x, batch_size=2, verbose=0)
    z = vae.encode(x)
    for array in (z, vae.decode(z), vae.reconstruct(x), vae.generate(2)):
        assert array.dtype == np.float32


def test_an_unconditional_model_refuses_a_label(small_vae):
    with pytest.raises(UsageError, match="not conditional; leave the label out"):
        small_vae().generate(2, label=3)


def test_a_model_and_data_are_described_in_a_line(small_vae, images, capsys):
    vae = small_vae()
    kinds = "DiagonalGaussian, StandardNormal, Bernoulli, ELBO"
    assert repr(vae) == f"<VAE 6x5x1, latent_dim 3: {kinds}>"
    vae.summary(print_fn=print)
    assert "unbuilt" not in capsys.readouterr().out
    split = ArraySplit(images(1200), np.zeros(1200, np.int64))
    assert repr(split) == "<ArraySplit: 1,200 images of 6x5x1, labeled>"
