import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_vae.distributions.noise import standard_normal, standard_uniform, threefry
from keras_vae.distributions.sampling import Sampling, bound_log_var


# known answers for 20 rounds, from Random123, the library of Salmon et al. (2011)
@pytest.mark.parametrize(
    "key, count, expected",
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        (
            (0x13198A2E, 0x03707344),
            (0x243F6A88, 0x85A308D3),
            (0xC4923A9C, 0x483DF7A0),
        ),
    ],
)
def test_threefry_gives_the_known_answers(key, count, expected):
    key, count = (
        tuple(tf.constant(word, tf.uint32) for word in pair) for pair in (key, count)
    )
    assert tuple(int(word) for word in threefry(key, count)) == expected


def test_uniform_noise_is_uniform_and_independent():
    generator = keras.random.SeedGenerator(4)
    draws = np.stack([standard_uniform((100, 784), generator) for _ in range(3)])
    assert draws.min() >= 0 and draws.max() < 1
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 1e-3
    # neighbors, and the same place in consecutive draws: 4 standard errors of a
    # correlation of 235,200 pairs
    for one, two in ((draws[..., 1:], draws[..., :-1]), (draws[1:], draws[:-1])):
        correlation = np.corrcoef(one.ravel(), two.ravel())[0, 1]
        assert abs(correlation) < 4 / np.sqrt(one.size)


def test_the_streams_of_a_seed_are_independent():
    draws = [
        standard_normal((100_000,), keras.random.SeedGenerator(4), stream=stream)
        for stream in range(3)
    ]
    correlations = np.corrcoef(draws)[np.triu_indices(3, 1)]
    assert (np.abs(correlations) < 4 / np.sqrt(100_000)).all()  # 4 standard errors


def test_normal_noise_is_normal_far_into_the_tails():
    noise = standard_normal((1_000_000,), keras.random.SeedGenerator(4)).numpy()
    assert np.isfinite(noise).all()
    assert stats.kstest(noise, "norm").pvalue > 1e-3
    # 3 standard errors of the expected 63.3 draws beyond 4 sigma
    assert abs((np.abs(noise) > 4).sum() - 63.3) < 3 * np.sqrt(63.3)


def test_xla_draws_the_same_noise():
    def draw(generator):
        return standard_uniform((5, 6), generator), standard_normal((5, 6), generator)

    one, two = keras.random.SeedGenerator(7), keras.random.SeedGenerator(7)
    uniform, normal = tf.function(lambda: draw(one), jit_compile=True)()
    expected_uniform, expected_normal = draw(two)
    np.testing.assert_array_equal(uniform, expected_uniform)
    # log and cos may round their last bit otherwise
    np.testing.assert_allclose(normal, expected_normal, rtol=1e-5, atol=1e-6)


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
    "value", [-3e4, -30.0, -29.9, -0.0, 1e-8, 0.3, 19.9, 20.0, 3e4]
)
def test_bound_log_var_keeps_ordinary_values_and_gradients(value):
    log_var = tf.constant([value])
    with tf.GradientTape() as tape:
        tape.watch(log_var)
        bounded = bound_log_var(log_var)
    np.testing.assert_array_equal(bounded, np.float32([np.clip(value, -30, 20)]))
    np.testing.assert_array_equal(tape.gradient(bounded, log_var), [1.0])


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
