import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_vae.distributions.noise import standard_normal, standard_uniform, threefry


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
