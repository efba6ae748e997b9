import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_vae.errors import UsageError
from keras_vae.posteriors import POSTERIORS, DiagonalGaussian


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


def test_diagonal_gaussian_is_finite_at_wild_log_variances():
    params = tf.constant([[0.0, 0.0, 1e4, -1e4]])
    posterior = DiagonalGaussian(2, seed=0)
    with tf.GradientTape() as tape:
        tape.watch(params)
        z, log_q = posterior.sample_and_log_prob(params)
    assert np.isfinite(z).all() and np.isfinite(log_q).all()
    assert np.isfinite(tape.gradient([z, log_q], params)).all()


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
