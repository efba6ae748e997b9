import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_vae.distributions.sampling import Sampling, bound_log_var, in_float32


def test_sampling_moments_match_the_parameters():
    mean = np.broadcast_to(np.float32([1.0, -2.0]), (4, 2))
    log_var = np.broadcast_to(np.float32([0.0, -3.0]), (4, 2))
    z = np.asarray(Sampling(seed=3)([mean, log_var], num_samples=20_000))
    noise = (z - mean) / np.exp(0.5 * log_var)
    assert z.shape == (20_000, 4, 2)
    # 3 standard errors of the mean and of the variance of 160,000 standard normals
    assert abs(noise.mean()) < 3 / np.sqrt(noise.size)
    assert abs(noise.var() - 1) < 3 * np.sqrt(2 / noise.size)
    assert stats.kstest(noise[:, 0, 0], "norm").pvalue > 1e-3


def test_sampling_same_seed_same_draws_and_they_go_on():
    mean, log_var = tf.zeros((3, 5)), tf.zeros((3, 5))
    one, two, other = Sampling(seed=1), Sampling(seed=1), Sampling(seed=2)
    first = one([mean, log_var])
    np.testing.assert_array_equal(first, two([mean, log_var]))
    assert not np.array_equal(first, one([mean, log_var]))
    assert not np.array_equal(first, other([mean, log_var]))


def test_sampling_without_num_samples_is_the_first_of_one():
    mean, log_var = tf.ones((3, 5)), tf.zeros((3, 5))
    z = Sampling(seed=1)([mean, log_var])
    assert z.shape == (3, 5)
    np.testing.assert_array_equal(
        z, Sampling(seed=1)([mean, log_var], num_samples=1)[0]
    )


def test_gradients_flow_through_sampling():
    mean, log_var = tf.zeros((2, 3)), tf.fill((2, 3), 0.4)
    with tf.GradientTape() as tape:
        tape.watch([mean, log_var])
        z = Sampling(seed=0)([mean, log_var])
    d_mean, d_log_var = tape.gradient(z, [mean, log_var])
    np.testing.assert_array_equal(d_mean, np.ones((2, 3)))
    # dz/dlog_var = noise * exp(log_var / 2) / 2 = (z - mean) / 2
    np.testing.assert_allclose(d_log_var, z / 2, rtol=1e-6)


@pytest.mark.parametrize(
    "value", [-1e30, -3e4, -30.0, -29.9, -0.0, 1e-8, 0.3, 19.9, 20.0, 3e4, 1e30]
)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_bound_log_var_keeps_ordinary_values_and_gradients(value, jit_compile):
    @tf.function(jit_compile=jit_compile)
    def bounded(log_var):
        with tf.GradientTape() as tape:
            tape.watch(log_var)
            value = bound_log_var(log_var)
        return value, tape.gradient(value, log_var)

    actual, gradient = bounded(tf.constant([value]))
    np.testing.assert_array_equal(actual, np.float32([np.clip(value, -30, 20)]))
    np.testing.assert_array_equal(gradient, [1.0])


def test_bound_log_var_hides_no_nan():
    assert np.isnan(bound_log_var(tf.constant([np.nan]))).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_float32_is_the_cast_and_makes_float16_finite(dtype, jit_compile):
    @tf.function(jit_compile=jit_compile)
    def cast(output):
        with tf.GradientTape() as tape:
            tape.watch(output)
            value = in_float32(output)
        return value, tape.gradient(value, output)

    ordinary = [-6e4, -1.5, -0.0, 0.3, 3e4]
    output = tf.cast(tf.constant([*ordinary, -1e30, 1e30, np.nan]), dtype)
    actual, gradient = cast(output)
    assert actual.dtype == tf.float32 and gradient.dtype == output.dtype
    expected = output.numpy().astype(np.float32)
    if dtype == "float16":
        expected[5:7] = -65504, 65504
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(gradient, np.ones(8))


def test_sampling_is_finite_for_wild_log_variances():
    z = Sampling(seed=0)([tf.zeros((1, 2)), tf.constant([[1e4, -1e4]])])
    assert np.isfinite(z).all()


def test_sampling_works_in_a_functional_model_and_reloads(tmp_path):
    mean, log_var = keras.Input((4,)), keras.Input((4,))
    z = Sampling(seed=5, name="z")([mean, log_var])
    model = keras.Model([mean, log_var], z)
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    inputs = [np.ones((2, 4), np.float32), np.zeros((2, 4), np.float32)]
    assert reloaded.get_layer("z").get_config()["seed"] == 5
    np.testing.assert_array_equal(model(inputs), reloaded(inputs))
