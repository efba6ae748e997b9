import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, special, stats

from keras_vae.distributions.likelihoods import (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    bits_per_dimension,
)
from keras_vae.distributions.sampling import in_float32
from keras_vae.distributions.table import LIKELIHOODS
from keras_vae.errors import UsageError

SHAPE = (4, 3, 2)


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


# === Continuous Bernoulli ===


def continuous_bernoulli_log_density(x, logit):
    """Straight from the definition, in float64: log of exp(l x) over its integral."""
    logit = np.where(logit == 0, 1e-9, np.float64(logit))
    high = np.maximum(logit, 0)  # exp(l x - high) cannot overflow
    integral = (np.exp(logit - high) - np.exp(-high)) / logit
    near_zero = abs(logit) < 1e-4  # a second-order series is exact to 1e-13 there
    log_integral = np.where(
        near_zero, logit / 2 + logit**2 / 24, np.log(integral) + high
    )
    return logit * x - log_integral


@pytest.mark.parametrize(
    "logit",
    [-1e30, -1e4, -80.0, -3.0, -0.5, -0.49, -1e-3, 0.0, 1e-6, 0.2, 0.51, 9.0, 1e4, 1e9],
)
@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_continuous_bernoulli_log_prob_and_gradient(logit, x):
    logits = tf.fill((1, 1, 1, 1), logit)
    likelihood = ContinuousBernoulli()
    with tf.GradientTape() as tape:
        tape.watch(logits)
        actual = likelihood.log_prob(logits, tf.fill((1, 1, 1, 1), x))
    x, logit = np.float64(np.float32(x)), np.float64(np.float32(logit))
    expected = continuous_bernoulli_log_density(x, logit)
    np.testing.assert_allclose(actual, [expected], rtol=2e-6, atol=2e-7)
    gradient = tape.gradient(actual, logits)  # x - mean, exponential families' rule
    np.testing.assert_allclose(gradient, x - likelihood.mean(logits), atol=5e-7)


@pytest.mark.parametrize("logit", [-200.0, -2.0, -0.1, 0.0, 0.4, 30.0])
def test_continuous_bernoulli_integrates_to_one_with_its_mean(logit):
    likelihood = ContinuousBernoulli()
    x = np.linspace(0, 1, 20_001, dtype="float32").reshape(-1, 1, 1, 1)
    density = np.exp(likelihood.log_prob(np.full_like(x, logit), x), dtype="float64")
    np.testing.assert_allclose(integrate.simpson(density, x=x.ravel()), 1.0, rtol=1e-5)
    mean = integrate.simpson(density * x.ravel(), x=x.ravel())
    actual = likelihood.mean(np.full((1, 1, 1, 1), logit, "float32"))
    np.testing.assert_allclose(np.ravel(actual), mean, rtol=1e-4)


@pytest.mark.parametrize("logit", [-1e4, -3.0, 0.0, 1e-3, 2.0, 1e4])
def test_continuous_bernoulli_samples_follow_the_density(logit):
    likelihood = ContinuousBernoulli()
    samples = np.ravel(likelihood.sample(np.full((1, 100, 100, 1), logit, "f"), seed=1))
    assert samples.min() >= 0 and samples.max() <= 1
    if abs(logit) > 100:  # the exponential distribution with rate |logit|
        samples = samples if logit < 0 else 1 - np.float64(samples)
        np.testing.assert_allclose(samples.mean() * abs(logit), 1.0, atol=0.05)
    else:
        rate = logit or 1e-9
        cdf = lambda x: np.expm1(rate * x) / np.expm1(rate)  # noqa: E731
        assert stats.kstest(samples.astype("float64"), cdf).pvalue > 1e-3


# === Gaussian ===


@pytest.mark.parametrize("scale", ["fixed", "learned", "predicted"])
def test_gaussian_log_prob_matches_scipy(rng, scale):
    likelihood = Gaussian(sigma=0.3, scale=scale)
    params = rng.normal(size=(5, 6, 4, 3, 2 * likelihood.num_params)).astype("float32")
    x = rng.uniform(size=(6, *SHAPE)).astype("float32")
    mean, log_var = (
        np.split(np.float64(params), 2, -1)
        if scale == "predicted"
        else (
            np.float64(params),
            2 * np.log(0.3),
        )
    )
    floor = 0.0 if scale == "fixed" else 1 / 256**2
    expected = stats.norm(mean, np.sqrt(np.exp(log_var) + floor)).logpdf(np.float64(x))
    actual = likelihood.log_prob(params, x)
    np.testing.assert_allclose(actual, expected.sum((-3, -2, -1)), rtol=1e-5)
    np.testing.assert_allclose(likelihood(params), np.clip(mean, 0, 1), rtol=1e-6)
    trainable = 1 if scale == "learned" else 0
    assert len(likelihood.trainable_weights) == trainable


def test_gaussian_learned_sigma_finds_the_scale_of_the_residuals(rng):
    likelihood = Gaussian(sigma=1.0)
    x = (0.5 + rng.normal(scale=0.05, size=(50, 5, 5, 1))).astype("float32")
    mean = tf.fill((50, 5, 5, 1), 0.5)
    for _ in range(200):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(likelihood.log_prob(mean, x))
        gradient = tape.gradient(loss, likelihood.log_var.value)
        likelihood.log_var.assign_sub(0.04 * tf.sign(gradient))
    sigma = float(np.exp(0.5 * likelihood.split(mean)[1]))
    assert abs(sigma - np.std(x - 0.5)) < 0.003


@pytest.mark.parametrize("scale", ["learned", "predicted"])
def test_gaussian_is_finite_when_the_residual_is_zero(scale):
    likelihood = Gaussian(sigma=1e-6, scale=scale)
    params = np.zeros((1, 2, 2, likelihood.num_params), "float32")
    params[..., 1:] = -1e4
    actual = likelihood.log_prob(params, np.zeros((1, 2, 2, 1), "float32"))
    expected = 4 * stats.norm(0, np.sqrt(1 / 256**2 + np.exp(-30.0))).logpdf(0)
    np.testing.assert_allclose(actual, [expected], rtol=1e-4)


def test_gaussian_samples_have_the_moments(rng):
    likelihood = Gaussian(sigma=0.05, scale="fixed")
    samples = likelihood.sample(np.full((1, 100, 100, 1), 0.5, "f"), seed=3)
    assert stats.kstest((np.ravel(samples) - 0.5) / 0.05, "norm").pvalue > 1e-3


def test_bits_per_dimension_of_uniform_levels_is_eight():
    nll = 3 * 4 * 2 * np.log(256.0)
    np.testing.assert_allclose(bits_per_dimension(nll, (3, 4, 2)), 8.0)


# === All of them ===

ARGUMENTS = {
    "bernoulli": {},
    "continuous_bernoulli": {},
    "gaussian": {"sigma": 0.25, "scale": "predicted"},
    "discretized_logistic_mixture": {"num_mixtures": 3},
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihood_config_round_trip(name):
    likelihood = LIKELIHOODS[name](name="px", **ARGUMENTS[name])
    config = likelihood.get_config()
    copy = type(likelihood).from_config(config)
    assert copy.get_config() == config
    assert config.items() >= {"name": "px", **ARGUMENTS[name]}.items()
    assert copy.num_params == likelihood.num_params


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("channels", [1, 3])
def test_likelihood_shapes_and_output_bias(name, channels, rng):
    likelihood = LIKELIHOODS[name](**ARGUMENTS[name])
    data_mean = rng.uniform(0.1, 0.9, size=(4, 5, channels)).astype("float32")
    bias = likelihood.output_bias(data_mean)
    assert bias.shape == (4, 5, channels * likelihood.num_params)
    assert bias.dtype == np.float32
    params = tf.tile(bias[None, None], (2, 3, 1, 1, 1))
    # a third of the range apart, clipped at the ends: near the mean, not at it
    atol = 0.05 if "mixture" in name else 1e-3
    np.testing.assert_allclose(likelihood(params)[0, 0], data_mean, atol=atol)
    x = np.round(rng.uniform(size=(3, 4, 5, channels)) * 255).astype("float32") / 255
    assert likelihood.log_prob(params, x).shape == (2, 3)
    assert likelihood.sample(params, seed=0).shape == (2, 3, 4, 5, channels)
    assert likelihood.levels in (None, 2, 256)


@pytest.mark.parametrize("arguments", [{}, ARGUMENTS], ids=["default", "other"])
@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize(
    ("dtype", "jit_compile"),
    [("float32", True), ("float32", False), ("bfloat16", False), ("float16", False)],
)
def test_likelihoods_are_finite_at_wild_outputs(
    name, arguments, dtype, jit_compile, rng
):
    likelihood = LIKELIHOODS[name](**arguments.get(name, {}))
    x = np.round(rng.uniform(size=(3, 4, 5, 3)) * 255).astype("float32") / 255
    x[0], x[1] = 0.0, 1.0

    @tf.function(jit_compile=jit_compile, autograph=False)
    def run(output):
        params = in_float32(output)
        with tf.GradientTape() as tape:
            tape.watch(params)
            log_prob = likelihood.log_prob(params, x)
        sources = [params, *(weight.value for weight in likelihood.trainable_weights)]
        return log_prob, likelihood.mean(params), *tape.gradient(log_prob, sources)

    ordinary = rng.normal(size=(2, 3, 4, 5, 3 * likelihood.num_params))
    for size in (-1e4, 1e4):
        for weight in likelihood.trainable_weights:
            weight.assign(1e26 * size)
        wild = np.where(rng.random(ordinary.shape) < 0.5, size, ordinary)
        wild[1] = size
        found = run(tf.cast(tf.constant(wild, tf.float32), dtype))
        assert all(np.isfinite(value).all() for value in found)


@pytest.mark.parametrize("size", [-1e30, -1e4, 1e4, 1e30])
@pytest.mark.parametrize(
    ("name", "block"), [("gaussian", 1), ("discretized_logistic_mixture", 2)]
)
def test_scales_come_back_from_anywhere(name, block, size):
    likelihood = LIKELIHOODS[name](**ARGUMENTS[name])
    blocks = np.zeros((1, 1, 2, 2, likelihood.num_params), "float32")
    width = likelihood.num_params // (4 if "mixture" in name else 2)
    scales = slice(width * block, width * (block + 1))
    blocks[..., scales] = size
    params = tf.constant(blocks)
    with tf.GradientTape() as tape:
        tape.watch(params)  # pixels some way from the mean of 0 or 0.5
        log_prob = likelihood.log_prob(params, tf.fill((1, 2, 2, 1), 0.8))
    gradient = tape.gradient(log_prob, params)
    assert np.isfinite(log_prob).all() and np.isfinite(gradient).all()
    assert np.all(np.sign(gradient[..., scales]) == -np.sign(size))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("gaussian", {"sigma": 0.0}, "sigma must be a number >= 1e-06"),
        ("gaussian", {"sigma": float("nan")}, "sigma must be a number"),
        ("gaussian", {"scale": "fixd"}, "Did you mean 'fixed'"),
        ("discretized_logistic_mixture", {"num_mixtures": 0}, "num_mixtures must be"),
    ],
)
def test_likelihoods_reject_nonsense(name, arguments, message):
    with pytest.raises(UsageError, match=message):
        LIKELIHOODS[name](**arguments)
