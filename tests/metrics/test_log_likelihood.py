import json

import keras
import numpy as np
import pytest
from keras import layers
from scipy import special, stats

from keras_vae.data.binarization import binarize
from keras_vae.distributions.likelihoods import Gaussian
from keras_vae.distributions.logistic_mixture import DiscretizedLogisticMixture
from keras_vae.errors import DivergedError, UsageError
from keras_vae.metrics.log_likelihood import estimate as compiled_estimate
from keras_vae.metrics.log_likelihood import summary
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp

SHAPE, SIGMA = (3, 2, 1), 0.1


def estimate(*args, **kwargs):
    """Without XLA, whose compilation takes longer than these estimates."""
    return compiled_estimate(*args, **{"jit_compile": False, **kwargs})


@pytest.fixture(scope="module")
def linear():
    """A linear-Gaussian model: log p(x) is that of N(b, W W^T + sigma^2 I)."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(scale=0.1, size=(2, 6)).astype("float32")
    bias = np.full(6, 0.5, "float32")
    x = keras.Input(SHAPE)
    params = layers.Dense(4)(layers.Flatten()(x))
    encoder = keras.Model(x, params)
    z = keras.Input((2,))
    decoder = keras.Model(z, layers.Reshape(SHAPE)(layers.Dense(6)(z)))
    decoder.set_weights([kernel, bias])
    # the true posterior's mean, and a variance that is wrong by far
    precision = np.eye(2) + kernel @ kernel.T / SIGMA**2
    to_mean = np.linalg.solve(precision, kernel / SIGMA**2).T  # (6, 2)
    log_var = np.log(np.diag(np.linalg.inv(precision))) + [1.0, -0.5]
    encoder.set_weights(
        [
            np.concatenate([to_mean, np.zeros((6, 2))], axis=1),
            np.concatenate([-bias @ to_mean, log_var]),
        ]
    )
    vae = VAE(encoder, decoder, likelihood=Gaussian(sigma=SIGMA, scale="fixed"))
    covariance = kernel.T @ kernel + SIGMA**2 * np.eye(6)
    images = rng.multivariate_normal(bias, covariance, 230).clip(0, 1)
    truth = stats.multivariate_normal(bias, covariance).logpdf(np.float32(images))
    return vae, images.reshape(-1, *SHAPE).astype("float32"), truth


def test_importance_sampling_finds_the_known_log_likelihood(linear):
    vae, images, truth = linear
    means, errors = [], []
    for num_samples in (1, 10, 1000):
        estimates = compiled_estimate(vae, images, num_samples=num_samples, seed=1)
        difference = -estimates.nll - truth  # in expectation <= 0, rising to 0
        means.append(difference.mean())
        errors.append(difference.std() / np.sqrt(len(difference)))
        assert means[-1] < 3 * errors[-1]
    assert means[0] < means[1] < means[2]
    assert abs(means[2]) < 3 * errors[2]
    assert abs(means[2]) < 0.02 < abs(means[0])


def test_one_sample_is_the_elbo(linear):
    vae, images, _ = linear
    estimates = estimate(vae, images, num_samples=1, seed=2)
    np.testing.assert_allclose(-estimates.nll, estimates.elbo, rtol=1e-12)
    vae.compile(steps_per_execution=1, jit_compile=False)
    elbo = vae.evaluate(images, verbose=0, return_dict=True)["elbo"]  # closed-form KL
    standard_error = estimates.elbo.std() / np.sqrt(len(images))
    assert abs(estimates.elbo.mean() - elbo) < 4 * standard_error


def test_the_bound_is_never_above_the_estimate(linear):
    vae, images, truth = linear
    estimates = estimate(vae, images, num_samples=64)
    assert (estimates.elbo <= -estimates.nll + 1e-9).all()
    expected = truth - keras.ops.convert_to_numpy(
        _kl_between_posteriors(vae, images)
    )  # the ELBO's gap is KL(q || true posterior)
    difference = estimates.elbo - expected
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(difference))


def _kl_between_posteriors(vae, images):
    from keras_vae.distributions.divergences import kl_between_gaussians

    kernel = vae.decoder.get_weights()[0]
    true = np.linalg.inv(np.eye(2) + kernel @ kernel.T / SIGMA**2)
    _, log_var = vae.posterior.split(vae.encoder(images))
    log_var = np.asarray(log_var, "float64")
    own = np.exp(log_var)[..., None] * np.eye(2)
    zeros = np.zeros((len(images), 2))
    return kl_between_gaussians(
        zeros, own, zeros, np.broadcast_to(true, (len(images), 2, 2))
    )


def test_the_prior_estimator_agrees_where_the_prior_reaches(linear):
    vae, images, truth = linear
    estimates = estimate(vae, images[:50], num_samples=20_000, estimator="prior")
    np.testing.assert_allclose(-estimates.nll, truth[:50], atol=0.5)
    report = summary(vae, estimates)
    assert "jensen_gap" not in report  # the naive estimate may be below the ELBO
    by_posterior = estimate(vae, images[:50], num_samples=100)
    np.testing.assert_allclose(estimates.elbo, by_posterior.elbo, atol=1e-4)


@pytest.mark.parametrize("num_samples", [1, 7, 41, 100])
def test_every_number_of_samples_is_honoured_exactly(linear, num_samples, monkeypatch):
    vae, images, _ = linear
    # at most 12 samples for 100 images at once: 41 are 4 chunks of 11, less 3
    monkeypatch.setattr("keras_vae.metrics.log_likelihood.MAX_FLOATS", 1200 * 6)
    chunks = -(-num_samples // 12)
    chunk = -(-num_samples // chunks)
    estimates = estimate(vae, images[:100], num_samples=num_samples, seed=3)
    with vae.noise_of(3):
        x = vae._scaled(images[:100])
        terms = [vae.terms(x, num_samples=chunk) for _ in range(chunks)]
    log_weight = np.concatenate([t.log_weight for t in terms])[:num_samples]
    expected = special.logsumexp(np.float64(log_weight), axis=0) - np.log(num_samples)
    np.testing.assert_allclose(-estimates.nll, expected, rtol=1e-4, atol=1e-4)
    log_likelihood = np.concatenate([t.log_likelihood for t in terms])[:num_samples]
    np.testing.assert_allclose(
        estimates.log_likelihood, log_likelihood.mean(0), rtol=1e-4, atol=1e-4
    )


def test_same_seed_same_numbers_and_training_noise_is_left_alone(linear):
    vae, images, _ = linear
    before = [v.numpy() for v in vae.variables]
    first = estimate(vae, images[:20], num_samples=5, seed=1)
    again = estimate(vae, images[:20], num_samples=5, seed=1)
    other = estimate(vae, images[:20], num_samples=5, seed=2)
    np.testing.assert_array_equal(first.nll, again.nll)
    assert not np.array_equal(first.nll, other.nll)
    for variable, value in zip(vae.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_summary_has_means_standard_errors_and_active_units(linear):
    vae, images, _ = linear
    estimates = estimate(vae, images, num_samples=3)
    report = summary(vae, estimates)
    assert report["nll"] == pytest.approx(estimates.nll.mean())
    assert report["nll_standard_error"] == pytest.approx(stats.sem(estimates.nll))
    assert report["elbo"] == pytest.approx(
        report["log_likelihood"] - report["kl_divergence"]
    )
    assert report["jensen_gap"] == pytest.approx(-report["nll"] - report["elbo"])
    mean = vae.encode(images)
    assert report["active_units"] == (mean.var(0) > 0.01).sum() == 2
    error = (vae.reconstruct(images) - images) ** 2
    assert report["reconstruction_error"] == pytest.approx(error.mean(), rel=1e-5)
    # closed form by latent, sampled in total: equal but for noise
    total = sum(report["kl_per_dimension"])
    assert total == pytest.approx(report["kl_divergence"], abs=0.3)
    assert "bits_per_dimension" not in report  # a density has none
    json.dumps(report)


def test_discrete_pixels_have_bits_per_dimension():
    likelihood = DiscretizedLogisticMixture(num_mixtures=1)
    encoder, decoder = mlp(
        (4, 4, 1), 2, posterior_params=4, likelihood_params=4, hidden=(4,)
    )
    vae = VAE(encoder, decoder, likelihood=likelihood)
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)
    report = summary(vae, estimate(vae, images, num_samples=4))
    expected = report["nll"] / (16 * np.log(2))
    assert report["bits_per_dimension"] == pytest.approx(expected)


def test_dynamic_pixels_are_binarized_once_and_for_all():
    encoder, decoder = mlp(
        (4, 4, 1), 2, posterior_params=4, likelihood_params=1, hidden=(4,)
    )
    grey = VAE(encoder, decoder)
    dynamic = VAE(encoder, decoder, binarization="dynamic")
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)
    actual = estimate(dynamic, images, num_samples=4).nll
    np.testing.assert_array_equal(
        actual, estimate(grey, binarize(images), num_samples=4).nll
    )
    estimates = estimate(dynamic, images, num_samples=4)
    assert "bits_per_dimension" in summary(dynamic, estimates)
    assert "bits_per_dimension" not in summary(grey, estimates)


@pytest.mark.parametrize("prior", ["mixture", "vampprior"])
def test_conditional_models_with_learned_priors_have_estimates(prior):
    encoder, decoder = mlp(
        (4, 4, 1),
        2,
        posterior_params=4,
        likelihood_params=1,
        hidden=(4,),
        num_classes=3,
    )
    vae = VAE(encoder, decoder, prior=prior, num_classes=3)
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)
    for estimator in ("importance", "prior"):
        estimates = estimate(
            vae, images, np.arange(5) % 3, num_samples=4, estimator=estimator
        )
        assert np.isfinite(estimates.nll).all() and estimates.nll.shape == (5,)
        assert estimates.kl_by_group is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0}, "num_samples must be a whole number >= 1"),
        ({"num_samples": 2.5}, "num_samples must be a whole number >= 1"),
        ({"estimator": "importanse"}, "Did you mean 'importance'"),
        ({"seed": -1}, "seed must be a whole number >= 0"),
    ],
)
def test_estimate_rejects_nonsense(linear, arguments, message):
    vae, images, _ = linear
    with pytest.raises(UsageError, match=message):
        estimate(vae, images, **arguments)


def test_estimates_that_are_no_numbers_name_the_first_image():
    vae = VAE(*mlp((4, 4, 1), 2, posterior_params=4, likelihood_params=1, hidden=(4,)))
    x = np.zeros((5, 4, 4, 1), np.float32)
    x[3] = 1.0
    kernel = vae.encoder.layers[-1].kernel
    kernel.assign(np.full(kernel.shape, 1e38))  # finite, but what comes of it is not
    vae.encoder.layers[-2].bias.assign(-np.ones(4))
    vae.encoder.layers[-2].kernel.assign(np.ones((16, 4)))
    with pytest.raises(DivergedError, match=r"The \w+ of image 3 is (nan|-?inf): the"):
        estimate(vae, x, num_samples=3)
    assert np.isfinite(estimate(vae, x[:3], num_samples=3).nll).all()
