import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_vae.distributions.flow import Flow
from keras_vae.errors import UsageError


def bent(latent_dim, **options):
    """A flow with weights as of a training, far from the identity."""
    flow = Flow(latent_dim, **{"num_couplings": 4, "hidden": 16, **options})
    rng = np.random.default_rng(1)
    for weight in flow.trainable_weights:
        fan_in = weight.shape[0] if len(weight.shape) == 2 else 4
        weight.assign(1.5 * rng.normal(size=weight.shape) / np.sqrt(fan_in))
    return flow


@pytest.mark.parametrize("latent_dim", [1, 2, 20])
def test_a_new_flow_is_the_standard_normal(latent_dim):
    flow = Flow(latent_dim)
    z = np.random.default_rng(0).normal(size=(3, 5, latent_dim)).astype("float32")
    expected = stats.norm.logpdf(np.float64(z)).sum(-1)
    np.testing.assert_allclose(flow.log_prob(z), expected, rtol=1e-6)
    np.testing.assert_array_equal(flow.from_noise(z[0], np.zeros(5)), z[0])


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 20])
def test_log_prob_is_the_change_of_variables_with_a_numerical_jacobian(latent_dim):
    flow = bent(latent_dim)
    normal = tf.random.stateless_normal((50, latent_dim), (1, 2))
    with tf.GradientTape() as tape:
        tape.watch(normal)
        z = flow.from_noise(normal, None)
    jacobian = np.float64(tape.batch_jacobian(z, normal))  # (B, D, D)
    log_determinant = np.linalg.slogdet(jacobian)[1]
    expected = stats.norm.logpdf(np.float64(normal)).sum(-1) - log_determinant
    assert np.std(log_determinant) > 0.1 or latent_dim == 1  # else nothing is bent
    # float32 through four couplings and back: 1e-5 of values up to 40 and more
    np.testing.assert_allclose(flow.log_prob(z), expected, rtol=1e-5, atol=1e-4)


def test_the_density_in_the_plane_integrates_to_one():
    flow = bent(2)
    z = np.asarray(flow.sample(2_000, seed=0))
    low, high = z.min(axis=0) - 6, z.max(axis=0) + 6
    axes = np.linspace(low, high, 801, dtype="float32").T
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)  # (801, 801, 2)
    density = np.exp(np.float64(flow.log_prob(points)))
    total = np.trapezoid(np.trapezoid(density, axes[1]), axes[0])
    assert abs(total - 1) < 1e-3  # of the grid: a trapezoid rule


def test_a_single_latent_is_scaled_and_shifted():
    flow = bent(1)
    z = np.ravel(flow.from_noise(np.float32([[0.0], [1.0], [2.0]]), None))
    assert z[2] - z[1] == pytest.approx(z[1] - z[0], rel=1e-5)
    draws = np.ravel(flow.sample(5_000, seed=0))
    assert stats.kstest(draws, stats.norm(z[0], z[1] - z[0]).cdf).pvalue > 1e-3


@pytest.mark.parametrize("latent_dim", [2, 3, 8, 20, 64])
def test_every_two_latents_are_told_apart_by_some_coupling(latent_dim):
    couplings = 2 * (latent_dim - 1).bit_length()
    kept = np.stack(Flow(latent_dim, couplings, hidden=1)._kept).astype(bool)
    apart = kept[:, :, None] & ~kept[:, None, :]  # one is moved by the other
    np.testing.assert_array_equal(apart.any(axis=0), ~np.eye(latent_dim, dtype=bool))


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_a_coupling_is_bounded_whatever_its_weights(size):
    flow = Flow(3, num_couplings=2, hidden=4)
    rng = np.random.default_rng(0)
    for weight in flow.trainable_weights:
        weight.assign(size * rng.normal(size=weight.shape))
    z = tf.constant(rng.normal(scale=1e4, size=(8, 3)), tf.float32)
    log_scale, shift = flow._scale_and_shift(z, 0)
    assert np.abs(log_scale).max() <= 2.0 and np.isfinite(shift).all()


def test_the_inverse_gives_the_noise_back():
    flow = bent(20)
    normal = tf.random.stateless_normal((50, 20), (1, 2))
    again, _ = flow.to_noise(flow.from_noise(normal, None))
    # float32, multiplied by up to exp(2) in each of four couplings and back
    np.testing.assert_allclose(again, normal, atol=1e-4)


def test_options_out_of_range_are_refused():
    with pytest.raises(UsageError, match="num_couplings must be a whole number >= 1"):
        Flow(3, num_couplings=0)
    with pytest.raises(UsageError, match="hidden must be a whole number <= 10"):
        Flow(3, hidden=10**6)
