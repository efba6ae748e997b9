import numpy as np
import pytest
from scipy import stats

from keras_vae.distributions.normal import LOG_2PI, normal_log_prob


def test_log_2pi_is_what_it_says():
    assert pytest.approx(np.log(2 * np.pi), rel=1e-15) == LOG_2PI


def test_normal_log_prob_is_that_of_scipy(rng):
    mean, log_var = rng.normal(size=(2, 5, 3))
    z = rng.normal(size=(7, 5, 3))
    scale = np.exp(log_var / 2)
    noise = np.float32((z - mean) / scale)
    actual = normal_log_prob(noise, np.float32(log_var))
    np.testing.assert_allclose(actual, stats.norm(mean, scale).logpdf(z), rtol=1e-5)
    standard = normal_log_prob(np.float32(z))
    np.testing.assert_allclose(standard, stats.norm.logpdf(z), rtol=1e-5)
