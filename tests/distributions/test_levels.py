"""Latents of several levels: densities, KL divergences, a model with a known answer."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from scipy import stats

from export import export_decoder
from keras_vae.distributions.levels import Levels, TopDownPosterior, TopPrior, above
from keras_vae.distributions.likelihoods import Gaussian
from keras_vae.distributions.priors import GaussianMixture, StandardNormal, VampPrior
from keras_vae.distributions.table import PRIORS
from keras_vae.errors import UsageError
from keras_vae.metrics.log_likelihood import MAX_FLOATS, _rows, estimate, summary
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp
from keras_vae.networks.table import OF_LEVELS
from keras_vae.networks.top_down import TopDown
from keras_vae.objectives.elbo import ELBO
from keras_vae.testing import check_latents, check_objective, check_prior

SHAPE = (6, 5, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (24, *SHAPE), np.uint8)


def build(network="mlp", widths=(3, 2), prior="standard_normal", **options):
    classes = options.get("num_classes")
    networks = OF_LEVELS[network](
        SHAPE,
        widths,
        likelihood_params=1,
        hidden=(8,),
        activation="relu",
        num_classes=classes,
    )
    few = {"num_components": 4} if prior in ("mixture", "vampprior") else {}
    top = PRIORS[prior](widths[0], **few)
    posterior = TopDownPosterior(widths[0], networks.posteriors, seed=1)
    latents = Levels(posterior, above(top, sum(widths)))
    return VAE(networks.encoder, networks.decoder, latents=latents, **options)


@pytest.mark.parametrize("widths", [(3, 2), (2, 1, 3)])
@pytest.mark.parametrize("prior", ["standard_normal", "mixture", "flow"])
def test_levels_keep_the_contract(widths, prior):
    vae = build(widths=widths, prior=prior)
    check_latents(vae.latents, vae._top_down)
    check_objective(ELBO(free_bits=0.5), vae.latents, vae._top_down)


def test_kl_by_level_is_that_of_the_levels_themselves():
    vae = build()
    params = tf.random.stateless_normal((4, vae.latents.num_params), (1, 2))
    found = vae.latents.infer(params, 5, decode=vae._top_down)
    top, below = np.split(np.float64(found.z), [3], axis=-1)
    networks, posterior = TopDown.of(vae.decoder), vae.posterior
    for sample in range(5):
        state = networks.merges[0](tf.constant(top[sample], tf.float32))
        mean, scale = map(np.float64, networks.priors[0](state))
        features = posterior.below(params)[0]
        shift, log_var = map(np.float64, posterior.level(1, state, features))
        # q(z_1|x, z_2) is N(mean + scale * shift, scale^2 exp(log_var))
        q = stats.norm(mean + scale * shift, scale * np.exp(log_var / 2))
        p = stats.norm(mean, scale)
        z = mean + scale * below[sample]
        ratio = (q.logpdf(z) - p.logpdf(z)).sum(axis=-1)
        mean_2, log_var_2 = map(np.float64, posterior.split(params))
        q_top = stats.norm(mean_2, np.exp(log_var_2 / 2))
        ratio += (q_top.logpdf(top[sample]) - stats.norm.logpdf(top[sample])).sum(-1)
        log_ratio = found.log_posterior[sample] - found.log_prior[sample]
        np.testing.assert_allclose(log_ratio, ratio, rtol=1e-4, atol=1e-4)  # float32


@pytest.mark.parametrize("prior", ["standard_normal", "mixture", "vampprior"])
def test_kl_by_level_sums_to_the_kl_divergence(prior):
    vae = build(prior=prior, num_samples=3)
    terms = vae.terms(vae._scaled(IMAGES))
    assert terms.kl_by_group.shape == (24, 2)
    kl = np.sum(terms.kl_by_group, axis=-1)
    np.testing.assert_allclose(terms.kl_divergence, kl, rtol=1e-6)
    with vae.noise_of(0):
        many = vae.terms(vae._scaled(IMAGES[:2]), num_samples=4000)
    estimates = np.float64(many.log_posterior - many.log_prior)
    error = estimates.std(axis=0) / np.sqrt(4000)
    np.testing.assert_array_less(
        np.abs(estimates.mean(axis=0) - many.kl_divergence), 5 * error + 1e-4
    )


def test_the_density_of_two_levels_integrates_to_one():
    prior = TopPrior(2, GaussianMixture(1, num_components=3, seed=4))
    axis = np.linspace(-9, 9, 601)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).astype("float32")
    density = np.exp(np.float64(prior.log_prob(points)))
    total = np.trapezoid(np.trapezoid(density, axis), axis)
    np.testing.assert_allclose(total, 1, rtol=1e-5)  # float32 densities


@pytest.fixture(scope="module")
def linear():
    """Two linear-Gaussian levels: x = B z_1 + C z_2 + b + e, z_1 = A z_2 + a + e."""
    rng = np.random.default_rng(3)
    a, b, c = (
        rng.normal(scale=s, size=(2, n)) for s, n in [(0.8, 2), (0.1, 6), (0.1, 6)]
    )
    scale, sigma, bias = np.array([0.7, 1.2]), 0.1, np.full(6, 0.5)
    z_2, state, z_1 = keras.Input((2,)), keras.Input((2,)), keras.Input((2,))
    mean = layers.Dense(2)
    spread = layers.Dense(2, "exponential", kernel_initializer="zeros")
    prior = keras.Model(state, [mean(state), spread(state)])
    output = layers.Dense(6)
    merge = keras.Model(
        [state, z_1],
        layers.Reshape((3, 2, 1))(output(layers.Concatenate()([z_1, state]))),
    )
    mean.set_weights([a, np.array([0.3, -0.2])])
    spread.bias.assign(np.log(scale))
    output.set_weights([np.concatenate([b, c]), bias])
    first = keras.Model(z_2, layers.Identity()(z_2))
    decoder = TopDown([first, merge], [prior]).as_decoder()
    x, features = keras.Input((3, 2, 1)), keras.Input((6,))
    flat = layers.Flatten()(x)
    start = keras.initializers.RandomNormal(stddev=0.5, seed=5)
    top = layers.Dense(4, kernel_initializer=start)(flat)
    encoder = keras.Model(x, layers.Concatenate()([top, flat]))
    both = layers.Concatenate()([state, features])
    heads = [layers.Dense(2, kernel_initializer=start)(both) for _ in range(2)]
    posterior = TopDownPosterior(2, [keras.Model([state, features], heads)], seed=0)
    latents = Levels(posterior, StandardNormal(4))
    likelihood = Gaussian(sigma=sigma, scale="fixed")
    vae = VAE(encoder, decoder, latents=latents, likelihood=likelihood)
    loading = a @ b + c  # of z_2
    covariance = (b.T * scale**2) @ b + loading.T @ loading + sigma**2 * np.eye(6)
    center = bias + np.array([0.3, -0.2]) @ b
    images = rng.multivariate_normal(center, covariance, 60).clip(0, 1)
    truth = stats.multivariate_normal(center, covariance).logpdf(np.float32(images))
    return vae, images.reshape(-1, 3, 2, 1).astype("float32"), truth


def test_importance_sampling_finds_the_known_log_likelihood_of_two_levels(linear):
    vae, images, truth = linear
    found = estimate(vae, images, num_samples=20_000, seed=1)
    difference = -found.nll - truth
    error = difference.std() / np.sqrt(len(difference))
    assert abs(difference.mean()) < 4 * error + 0.02  # Jensen's, of these samples
    assert (found.elbo <= -found.nll).all() and abs(difference.mean()) < 0.1
    report = summary(vae, found)
    difference = sum(report["kl_by_level"]) - report["kl_divergence"]  # other samples
    assert abs(difference) < 4 * report["kl_divergence_standard_error"]


def test_the_noise_that_reconstructs(linear):
    vae, images, _ = linear
    z = vae.encode(images)
    assert z.shape == (60, 4)
    np.testing.assert_allclose(vae.predict(images, verbose=0), vae.decode(z), atol=1e-6)


def test_the_mean_of_two_levels_is_where_their_kl_is_taken(linear):
    """In float64 from the heads' own weights, level by level."""
    vae, images, _ = linear
    params = vae.encoder(images)
    mean, log_var = vae.latents.mean_and_log_var(params, vae._top_down)
    np.testing.assert_array_equal(mean, vae.latents.mean(params, vae._top_down))
    top, top_log_var, flat = np.split(np.float64(params), [2, 4], axis=-1)
    both = np.concatenate([top, flat], axis=-1)
    heads = [np.float64(w) for w in vae.posterior.networks[0].get_weights()]
    below, below_log_var = (both @ heads[k] + heads[k + 1] for k in (0, 2))
    np.testing.assert_allclose(mean, np.hstack([top, below]), atol=1e-5)
    log_vars = np.hstack([top_log_var, below_log_var])
    np.testing.assert_allclose(log_var, log_vars, atol=1e-5)
    scale = np.exp(log_vars / 2)
    kl = (np.hstack([top, below]) ** 2 + scale**2 - 1) / 2 - np.log(scale)
    assert vae.latents.has_closed_form_kl
    found = vae.latents.kl_at_mean(params, mean, log_var)
    np.testing.assert_allclose(found, kl.sum(-1), rtol=1e-4)
    prior = GaussianMixture(2, num_components=1)
    other = Levels(vae.posterior, TopPrior(4, prior))
    assert not other.has_closed_form_kl
    q = stats.norm(top, scale[:, :2]).logpdf(top).sum(-1)
    p = stats.norm(np.float64(prior.mean), 1).logpdf(top).sum(-1)
    found = other.kl_at_mean(params, mean, log_var)
    np.testing.assert_allclose(found, q - p + kl[:, 2:].sum(-1), rtol=1e-4)


@pytest.mark.parametrize(
    ("network", "prior", "classes"),
    [
        ("mlp", "vampprior", 3),
        ("gated_mlp", "mixture", None),
        ("conv", "standard_normal", None),
        ("plain_conv", "standard_normal", 3),
    ],
)
def test_levels_train_save_and_export(network, prior, classes, tmp_path):
    vae = build(network, (3, 2, 2), prior, num_classes=classes, num_samples=2)
    vae.compile(keras.optimizers.Adam(1e-2), steps_per_execution=2, jit_compile=False)
    labels = None if classes is None else np.arange(24) % classes
    vae.fit(IMAGES, labels, batch_size=8, epochs=2, verbose=0)
    for part in (vae.encoder, vae.decoder, vae.posterior):
        assert part.trainable_weights
    vae.save(tmp_path / "vae.keras")
    again = keras.saving.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(vae.generate(5, seed=2), again.generate(5, seed=2))
    encoded = [model.encode(IMAGES, labels) for model in (vae, again)]
    np.testing.assert_array_equal(*encoded)
    errors = export_decoder(vae, tmp_path / "export", ["onnx", "keras"])
    assert max(errors.values()) <= 1e-5
    manifest = json.loads((tmp_path / "export" / "manifest.json").read_text())
    assert (manifest["prior"], manifest["latent_dim"]) == (prior, 7)


def test_a_top_prior_starts_at_latents_of_the_top_level():
    prior = TopPrior(5, GaussianMixture(2, num_components=3, seed=4))
    z = np.arange(40, dtype="float32").reshape(8, 5)
    prior.start_at(z, np.random.default_rng(0))
    assert {tuple(row) for row in np.asarray(prior.top.mean)} <= {
        tuple(row) for row in z[:, :2]
    }


def test_all_weights_get_a_gradient():
    vae = build(widths=(3, 2, 2), prior="vampprior")
    with tf.GradientTape() as tape:
        loss = ops.sum(vae.terms(vae._scaled(IMAGES)).elbo)
    gradients = tape.gradient(loss, vae.trainable_weights)
    assert all(gradient is not None for gradient in gradients)


def test_a_top_prior_takes_the_top_of_what_it_is_given():
    prior = TopPrior(5, VampPrior(2, num_components=3))
    check_prior(prior)


def test_rows_of_a_decoder_are_bounded_by_its_widest_layer_wherever_that_is():
    networks = OF_LEVELS["conv"](
        (64, 64, 3), (4, 4), likelihood_params=1, hidden=(32, 64), activation="relu"
    )
    latents = Levels(TopDownPosterior(4, networks.posteriors), StandardNormal(8))
    vae = VAE(networks.encoder, networks.decoder, latents=latents)
    assert _rows(vae) == MAX_FLOATS // (64 * 64 * 64)  # before the last convolutions


def test_what_does_not_go_together_is_refused():
    with pytest.raises(UsageError, match="need a decoder made by TopDown.as_decoder"):
        TopDown.of(mlp(SHAPE, 5, posterior_params=2, likelihood_params=1)[1])
    with pytest.raises(UsageError, match="less than 3, that of all levels; got 3"):
        TopPrior(3, StandardNormal(3))
    with pytest.raises(UsageError, match="a network for each below the top"):
        TopDownPosterior(3, [])
    latents, other = (build(widths=widths) for widths in [(3, 2), (2, 3)])
    with pytest.raises(UsageError, match=r"\[2, 3\] wide, those of the latents \[3, 2"):
        VAE(latents.encoder, other.decoder, latents=latents.latents)
    with pytest.raises(UsageError, match="a decoder made by TopDown.as_decoder"):
        plain = mlp(SHAPE, 5, posterior_params=2, likelihood_params=1)[1]
        VAE(latents.encoder, plain, latents=latents.latents)
    with pytest.raises(UsageError, match="takes 5 latents; its latents have 4"):
        VAE(latents.encoder, latents.decoder, latents=build(widths=(2, 2)).latents)
    with pytest.raises(UsageError, match="latents hold posterior and prior"):
        parts = latents.encoder, latents.decoder
        VAE(*parts, latents=latents.latents, prior="mixture")
    for prior in (GaussianMixture(5), TopPrior(5, GaussianMixture(2))):
        with pytest.raises(UsageError, match="whose top level is 3 wide; got"):
            Levels(latents.posterior, prior)
    with pytest.raises(
        UsageError, match="Levels take a width, or a last one of hidden"
    ):
        OF_LEVELS["mlp"](SHAPE, (3, 2), likelihood_params=1, activation="relu")
    with pytest.raises(UsageError, match="two levels or more"):
        build(widths=(3,))
    with pytest.raises(UsageError, match="DReG needs the posterior's log_prob"):
        build(objective="dreg")
