import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_vae.distributions.divergences import closed_form_kl
from keras_vae.distributions.posteriors import DiagonalGaussian, FullGaussian
from keras_vae.distributions.priors import StandardNormal
from keras_vae.distributions.sampling import in_float32
from keras_vae.distributions.table import POSTERIORS
from keras_vae.errors import UsageError


@pytest.fixture
def params():
    return np.random.default_rng(0).normal(size=(6, 8)).astype("float32")


def test_diagonal_gaussian_log_prob_matches_scipy(params):
    posterior = DiagonalGaussian(latent_dim=4, seed=1)
    z, log_q = posterior.sample_and_log_prob(params, num_samples=3)
    mean, log_var = np.split(params.astype("float64"), 2, axis=-1)
    expected = stats.norm(mean, np.exp(log_var / 2)).logpdf(np.float64(z)).sum(-1)
    assert z.shape == (3, 6, 4)
    np.testing.assert_allclose(log_q, expected, rtol=1e-5)
    np.testing.assert_allclose(posterior.log_prob(params, z), expected, rtol=1e-5)
    np.testing.assert_array_equal(posterior.mean(params), params[:, :4])


def test_diagonal_gaussian_same_seed_same_draw(params):
    draws = [
        DiagonalGaussian(4, seed=seed).sample_and_log_prob(params)[0]
        for seed in (7, 7, 8)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_full_gaussian_log_prob_matches_scipy():
    posterior = FullGaussian(latent_dim=3, seed=1)
    params = np.random.default_rng(0).normal(size=(4, 9)).astype("float32")
    z, log_q = posterior.sample_and_log_prob(params, num_samples=5)
    assert z.shape == (5, 4, 3) and log_q.shape == (5, 4)
    mean, scale_tril = (np.float64(part) for part in posterior.split(params))
    expected = np.stack(
        [
            stats.multivariate_normal(mean[b], scale_tril[b] @ scale_tril[b].T).logpdf(
                np.float64(z)[:, b]
            )
            for b in range(4)
        ],
        axis=1,
    )
    np.testing.assert_allclose(log_q, expected, rtol=1e-4)
    np.testing.assert_allclose(posterior.log_prob(params, z), expected, rtol=1e-4)
    np.testing.assert_array_equal(posterior.mean(params), params[:, :3])


def test_full_gaussian_cholesky_factor_is_read_row_by_row():
    params = np.float32([[9, 9, 9, 0, 2 * np.log(2.0), 2 * np.log(3.0), 4, 5, 6]])
    mean, scale_tril = FullGaussian(3).split(params)
    np.testing.assert_array_equal(mean, [[9, 9, 9]])
    np.testing.assert_allclose(
        scale_tril, [[[1, 0, 0], [4, 2, 0], [5, 6, 3]]], rtol=1e-6
    )


def test_gaussians_have_the_variance_and_the_peak_of_scipys():
    params = np.random.default_rng(0).normal(size=(4, 9)).astype("float32")
    full = FullGaussian(3)
    for k, lower in enumerate(np.float64(full.split(params)[1])):
        covariance = lower @ lower.T
        expected = np.log(covariance.diagonal())
        np.testing.assert_allclose(full.log_var(params)[k], expected, rtol=1e-5)
        peak = stats.multivariate_normal(np.zeros(3), covariance).logpdf(np.zeros(3))
        np.testing.assert_allclose(full.log_prob_of_mean(params)[k], peak, rtol=1e-5)
    diagonal, params = DiagonalGaussian(3), params[:, :6]
    np.testing.assert_array_equal(diagonal.log_var(params), params[:, 3:])
    peak = stats.norm(0, np.exp(np.float64(params[:, 3:]) / 2)).logpdf(0).sum(-1)
    np.testing.assert_allclose(diagonal.log_prob_of_mean(params), peak, rtol=1e-5)


def test_full_gaussian_without_covariances_is_the_diagonal_one(params):
    full, diagonal = FullGaussian(4, seed=1), DiagonalGaussian(4, seed=1)
    padded = np.pad(params, [(0, 0), (0, 6)])
    for actual, expected in zip(
        full.sample_and_log_prob(padded, 2),
        diagonal.sample_and_log_prob(params, 2),
        strict=True,
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


def test_full_gaussian_draws_have_the_covariance():
    params = np.random.default_rng(0).normal(size=(1, 5)).astype("float32")
    posterior = FullGaussian(2, seed=1)
    z = np.asarray(posterior.sample_and_log_prob(params, 50_000)[0])[:, 0]
    scale_tril = np.asarray(posterior.split(params)[1])[0]
    np.testing.assert_allclose(np.cov(z.T), scale_tril @ scale_tril.T, atol=0.05)


@pytest.mark.parametrize("name", POSTERIORS)
def test_posteriors_gradients_are_finite_and_flow_through_every_parameter(name):
    posterior = POSTERIORS[name](3, seed=0)
    params = tf.random.stateless_normal((4, posterior.num_params), (1, 2))
    with tf.GradientTape() as tape:
        tape.watch(params)
        z, log_q = posterior.sample_and_log_prob(params, 2)
        loss = tf.reduce_sum(tf.square(z)) + tf.reduce_sum(log_q)
    gradient = tape.gradient(loss, params)
    assert np.isfinite(gradient).all() and np.all(gradient != 0)


@pytest.mark.parametrize("name", POSTERIORS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_posteriors_come_back_from_wild_parameters(name, dtype, jit_compile):
    dim = 3
    posterior, prior = POSTERIORS[name](dim, seed=0), StandardNormal(dim)
    kl = closed_form_kl(posterior, prior)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def divergence(output):
        params = in_float32(output)
        with tf.GradientTape() as tape:
            tape.watch(params)
            z, log_q = posterior.sample_and_log_prob(params, 2)
            estimate = tf.reduce_sum(log_q - prior.log_prob(z), axis=0)
            values = [estimate, kl(params)] if kl else [estimate]
            total = tf.add_n([tf.reduce_sum(value) for value in values])
        return z, *values, tape.gradient(total, params)

    rng = np.random.default_rng(0)
    ordinary = rng.normal(size=(5, posterior.num_params)).astype("float32")
    for size in (1e4, 1e30):  # of the log-variances; 1e30 is infinite in float16
        params = ordinary.copy()
        params[0, dim : 2 * dim], params[1, dim : 2 * dim] = size, -size
        params[2, dim] = size
        params[3] = 1e4 * ordinary[3]  # all of them
        found = divergence(tf.cast(params, dtype))
        assert all(np.isfinite(value).all() for value in found)
        back = found[-1].numpy()[:, dim : 2 * dim]
        # of all together: a flow may shut its gates to a single one
        assert back[0].sum() > 0 and (back[1] < 0).all() and back[2, 0] > 0


@pytest.mark.parametrize("name", POSTERIORS)
@pytest.mark.parametrize("latent_dim", [0, -1, 2.5, True, "2"])
def test_posteriors_reject_a_latent_dim_that_is_no_positive_integer(name, latent_dim):
    with pytest.raises(UsageError, match="latent_dim must be a whole number >= 1"):
        POSTERIORS[name](latent_dim)


@pytest.mark.parametrize("name", POSTERIORS)
def test_posterior_config_round_trip(name):
    posterior = POSTERIORS[name](latent_dim=3, seed=11, name="q")
    copy = type(posterior).from_config(posterior.get_config())
    assert copy.get_config() == posterior.get_config()
    assert (copy.latent_dim, copy.seed, copy.name) == (3, 11, "q")
