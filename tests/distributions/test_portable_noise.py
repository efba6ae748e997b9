import hashlib

import numpy as np
import pytest
from scipy import stats

from keras_vae.distributions import portable_noise
from keras_vae.distributions.portable_noise import noise, quantiles, words

BITS_OF_TABLE = "912af8417cf96b0f825d2430dba32390df37553b5bacf6dfab9b3197f532c12f"


def test_table_is_bit_stable_and_matches_scipy():
    table = quantiles()
    expected = stats.norm.ppf((np.arange(2**14) + 0.5) / 2**14)
    np.testing.assert_allclose(table, expected, rtol=2e-7)
    assert hashlib.sha256(table.tobytes()).hexdigest() == BITS_OF_TABLE


def test_known_answers_do_not_change():
    normal, uniform = noise(42, 2, 3)
    expected = np.array(
        [
            [-0.8304029107093811, 0.3608645796775818, 1.0694851875305176],
            [0.0009944511111825705, 0.6211744546890259, 0.1337304562330246],
        ],
        np.float32,
    )
    np.testing.assert_array_equal(normal, expected)
    expected = np.array([0.13398438692092896, 0.2734571695327759], np.float32)
    np.testing.assert_array_equal(uniform, expected)


def test_float32_words_equal_integer_arithmetic():
    seed, image = 2**24 - 1, np.arange(2**24 - 2000, 2**24)[:, None]
    latent = np.array([[0, 1, 63, 4095]])
    got = words(np.float32(seed), image.astype("f4"), latent.astype("f4"))
    mask, k0, k1 = 4095, seed & 4095, seed >> 12
    zero = 0 * image * latent
    x0, x1, x2, x3 = (image & mask) + zero, (image >> 12) + zero, latent + zero, zero
    for _ in range(portable_noise.ROUNDS):
        p0, p1 = x0 * 2521, x2 * 3307
        x0, x2 = ((p1 >> 12) + x1 + k0) & mask, ((p0 >> 12) + x3 + k1) & mask
        x1, x3 = p1 & mask, p0 & mask
        k0, k1 = (k0 + 1597) & mask, (k1 + 2971) & mask
    for word, expected in zip(got, (x0, x1, x2, x3), strict=True):
        assert word.dtype == np.float32
        np.testing.assert_array_equal(word, expected)


def test_tensorflow_gives_the_same_bits_eagerly_and_compiled():
    import tensorflow as tf

    expected = noise(9, 50, 7)
    for jit_compile in (None, True):
        run = tf.function(
            lambda seed, n: noise(seed, n, 7, xp=tf), jit_compile=jit_compile
        )
        count = 50 if jit_compile else tf.constant(50, tf.int64)
        got = run(tf.constant(9, tf.int64), count)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a.numpy(), b)


def test_image_k_does_not_depend_on_num_images():
    few, few_uniform = noise(3, 5, 20)
    many, many_uniform = noise(3, 500, 20)
    np.testing.assert_array_equal(few, many[:5])
    np.testing.assert_array_equal(few_uniform, many_uniform[:5])
    np.testing.assert_array_equal(few, noise(np.int64(3), np.int64(5), 20)[0])


@pytest.mark.parametrize("seed", [0, 1, 42, 2**24 - 1])
def test_statistics_are_those_of_normal_and_uniform_numbers(seed):
    normal, uniform = noise(seed, 5000, 20)
    sample = normal.ravel().astype(np.float64)
    n = sample.size
    # Bounds at about four standard errors of each estimate.
    assert abs(sample.mean()) < 4 / np.sqrt(n)
    assert abs(sample.var() - 1) < 4 * np.sqrt(2 / n) + 1e-3  # the table ends at 4.01
    assert abs(stats.skew(sample)) < 4 * np.sqrt(6 / n)
    assert abs(stats.kurtosis(sample)) < 4 * np.sqrt(24 / n) + 5e-3
    assert stats.kstest(sample, "norm").pvalue > 1e-3
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3
    counts = np.histogram(stats.norm.cdf(sample), bins=256, range=(0, 1))[0]
    assert stats.chisquare(counts).pvalue > 1e-3
    # No linear dependence: between latents, neighboring images, and the two outputs.
    between_latents = np.corrcoef(normal.T) - np.eye(20)
    assert np.abs(between_latents).max() < 5 / np.sqrt(5000)
    neighbors = np.corrcoef(sample[:-20], sample[20:])[0, 1]
    assert abs(neighbors) < 4 / np.sqrt(n)
    assert abs(np.corrcoef(normal[:, 0], uniform)[0, 1]) < 4 / np.sqrt(5000)


def test_neighboring_seeds_are_unrelated():
    a, b = (noise(seed, 2000, 10)[0].ravel() for seed in (100, 101))
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(a.size)
    assert len(np.unique(noise(5, 20_000, 1)[0])) > 10_000


def test_avalanche_flipping_one_input_bit_flips_half_of_the_output_bits():
    rng = np.random.default_rng(0)
    trials = 4000
    seed, image = rng.integers(0, 2**24, (2, trials))
    latent = rng.integers(0, 4096, trials)

    def bits(seed, image, latent):  # (trials, 48)
        out = words(*(v.astype("f4") for v in (seed, image, latent)))
        ints = np.stack(out, -1).astype(np.int64)
        return (ints[..., None] >> np.arange(12) & 1).reshape(trials, 48)

    base, worst = bits(seed, image, latent), 0.0
    for argument, width in ((0, 24), (1, 24), (2, 12)):
        for bit in range(width):
            flipped = [seed, image, latent]
            flipped[argument] = flipped[argument] ^ (1 << bit)
            rate = (bits(*flipped) != base).mean(axis=0)  # (48,)
            worst = max(worst, np.abs(rate - 0.5).max())
    # 2,880 rates of 4,000 trials: five standard errors are 0.04.
    assert worst < 0.04


@pytest.mark.parametrize("seed", [-1, 2**24, 1.5])
def test_seed_outside_range_is_refused(seed):
    with pytest.raises(ValueError, match=r"whole number in \[0, 16777216\)"):
        portable_noise.check_seed(seed)


def test_sizes_outside_range_are_refused():
    with pytest.raises(ValueError, match="latent_dim must be in"):
        noise(0, 1, 4097)
    with pytest.raises(ValueError, match="num_images must be in"):
        noise(0, -1, 2)
    with pytest.raises(ValueError, match="seed"):
        noise(-1, 1, 2)
