import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_vae.distributions.iaf import IAF
from keras_vae.errors import UsageError


@pytest.fixture
def iaf():
    """A flow whose weights are far from their gentle start."""
    posterior = IAF(latent_dim=4, num_flows=3, hidden=11, seed=5)
    rng = np.random.default_rng(1)
    for weight in posterior.trainable_weights:
        weight.assign(weight + rng.normal(scale=0.5, size=weight.shape))
    return posterior


@pytest.mark.parametrize("latent_dim", [1, 2, 4])
def test_iaf_log_prob_is_the_change_of_variables_with_a_numerical_jacobian(latent_dim):
    posterior = IAF(latent_dim=latent_dim, num_flows=3, hidden=11, seed=5)
    rng = np.random.default_rng(1)
    for weight in posterior.trainable_weights:
        weight.assign(weight + rng.normal(scale=0.5, size=weight.shape))
    params = rng.normal(size=(6, 3 * latent_dim)).astype("float32")
    mean, log_var, context = posterior.split(params)
    noise = IAF(latent_dim, seed=5).sampling.noise(mean, 1)  # the draw that will come
    first = mean + tf.exp(0.5 * log_var) * noise[0]
    with tf.GradientTape() as tape:
        tape.watch(first)
        flowed, _ = posterior._flow(first, context)
    jacobian = np.float64(tape.batch_jacobian(flowed, first))  # (B, D, D)
    log_determinant = np.linalg.slogdet(jacobian)[1]
    base = stats.norm(np.float64(mean), np.exp(np.float64(log_var) / 2))
    expected = base.logpdf(np.float64(first)).sum(-1) - log_determinant
    z, log_q = posterior.sample_and_log_prob(params, 1)
    np.testing.assert_allclose(z[0], flowed, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_q[0], expected, rtol=1e-4, atol=1e-5)


def test_iaf_density_integrates_to_one():
    posterior = IAF(latent_dim=1, num_flows=2, hidden=5, seed=3)
    params = np.float32([[0.3, -0.5, 0.7]])
    z, log_q = (np.ravel(part) for part in posterior.sample_and_log_prob(params, 4001))
    order = np.argsort(z)
    # the density at the drawn points, integrated between them
    total = np.trapezoid(np.exp(log_q[order]), z[order])
    assert abs(total - 1) < 0.01


def test_iaf_mean_is_deterministic_and_depends_on_the_context(iaf):
    params = np.zeros((1, 12), "float32")
    np.testing.assert_array_equal(iaf.mean(params), iaf.mean(params))
    assert not np.allclose(iaf.mean(params), iaf.mean(params + 1.0))


def test_iaf_reloads_from_its_weights(iaf):
    copy = IAF.from_config(iaf.get_config())
    copy.set_weights(iaf.get_weights())
    params = np.ones((2, 12), "float32")
    np.testing.assert_array_equal(copy.mean(params), iaf.mean(params))
    assert len(iaf.trainable_weights) == 3 * 5


def test_iaf_config_keeps_its_own_arguments():
    config = IAF(latent_dim=3, num_flows=4, hidden=17, seed=2).get_config()
    assert (config["num_flows"], config["hidden"]) == (4, 17)
    assert IAF.from_config(config).get_config() == config
    with pytest.raises(UsageError, match="num_flows must be a whole number >= 1"):
        IAF(latent_dim=3, num_flows=0)
