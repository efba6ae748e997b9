import numpy as np
import pytest
from scipy import stats

from keras_vae.errors import UsageError
from keras_vae.priors import PRIORS, StandardNormal


def test_standard_normal_log_prob_matches_scipy():
    z = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")
    expected = stats.norm.logpdf(np.float64(z)).sum(-1)
    np.testing.assert_allclose(StandardNormal(4).log_prob(z), expected, rtol=1e-6)


def test_standard_normal_sample_is_the_noise():
    prior = StandardNormal(2)
    noise = np.random.default_rng(0).normal(size=(7, 2)).astype("float32")
    np.testing.assert_array_equal(prior.from_noise(noise, np.zeros(7)), noise)
    z = np.asarray(prior.sample(5_000, seed=0))
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    np.testing.assert_array_equal(z, prior.sample(5_000, seed=0))


@pytest.mark.parametrize("name", PRIORS)
def test_priors_reject_a_latent_dim_that_is_no_positive_integer(name):
    with pytest.raises(UsageError, match="latent_dim must be a whole number >= 1"):
        PRIORS[name](0)


@pytest.mark.parametrize("name", ["standard_normal"])
def test_prior_config_round_trip(name):
    prior = PRIORS[name](latent_dim=3, name="p")
    copy = type(prior).from_config(prior.get_config())
    assert copy.get_config() == prior.get_config()
    assert (copy.latent_dim, copy.name) == (3, "p")
