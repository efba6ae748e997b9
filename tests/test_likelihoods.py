import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from keras_vae.likelihoods import Bernoulli

SHAPE = (4, 3, 2)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_bernoulli_log_prob_matches_scipy(rng):
    logits = rng.normal(scale=3, size=(5, 6, *SHAPE)).astype("float32")
    x = rng.integers(2, size=(6, *SHAPE)).astype("float32")
    expected = stats.bernoulli(special.expit(np.float64(logits))).logpmf(x)
    actual = Bernoulli().log_prob(logits, x)
    assert actual.shape == (5, 6)
    np.testing.assert_allclose(actual, expected.sum((-3, -2, -1)), rtol=1e-6)


@pytest.mark.parametrize("logit", [-1e4, -100.0, -20.0, -1e-3, 0.0, 5.0, 20.0, 1e4])
@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_bernoulli_log_prob_and_gradient_at_extreme_logits(logit, x):
    logits = tf.fill((1, 1, 1, 1), logit)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        actual = Bernoulli().log_prob(logits, tf.fill((1, 1, 1, 1), x))
    x = np.float64(np.float32(x))
    logit = np.float64(np.float32(logit))
    expected = x * special.log_expit(logit) + (1 - x) * special.log_expit(-logit)
    np.testing.assert_allclose(actual, [expected], rtol=1e-6, atol=1e-30)
    gradient = tape.gradient(actual, logits)
    expected = x * special.expit(-logit) - (1 - x) * special.expit(logit)
    np.testing.assert_allclose(np.ravel(gradient), [expected], rtol=1e-6, atol=1e-12)


def test_bernoulli_sums_to_one():
    logits = np.random.default_rng(1).normal(size=(1, 2, 2, 1)).astype("float32")
    every_image = np.indices((2,) * 4).reshape(4, -1).T.reshape(-1, 2, 2, 1)
    log_prob = Bernoulli().log_prob(logits, every_image.astype("float32"))
    np.testing.assert_allclose(np.exp(log_prob).sum(), 1.0, rtol=1e-6)


def test_bernoulli_mean_and_samples_agree(rng):
    logits = rng.normal(size=(1, *SHAPE)).astype("float32")
    likelihood = Bernoulli()
    mean = likelihood.mean(logits)
    np.testing.assert_allclose(mean, special.expit(logits), rtol=1e-6)
    np.testing.assert_array_equal(likelihood(logits), mean)
    samples = likelihood.sample(np.repeat(logits, 10_000, axis=0), seed=2)
    assert set(np.unique(samples)) == {0.0, 1.0}
    np.testing.assert_allclose(np.mean(samples, 0), mean[0], atol=4 * 0.5 / 100)


def test_bernoulli_output_bias_gives_the_data_mean():
    data_mean = np.float32([0.0, 0.25, 0.9, 1.0]).reshape(2, 2, 1)
    mean = special.expit(Bernoulli().output_bias(data_mean))
    np.testing.assert_allclose(mean.ravel(), [0.001, 0.25, 0.9, 0.999], rtol=1e-5)
