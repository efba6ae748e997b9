import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, special, stats

from keras_vae.distributions.priors import GaussianMixture, StandardNormal, VampPrior
from keras_vae.distributions.table import PRIORS
from keras_vae.errors import UsageError


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


@pytest.fixture
def mixture():
    """A learned mixture in one dimension with unequal parts."""
    prior = GaussianMixture(latent_dim=1, num_components=3, seed=0)
    prior.logits.assign(np.log([0.2, 0.5, 0.3]))
    prior.mean.assign([[-4.0], [0.0], [3.0]])
    prior.log_var.assign([[-1.0], [0.0], [1.0]])
    return prior


def mixture_log_density(z, weight, mean, log_var):
    """float64 log density of z (..., D) under diagonal Gaussians (K, D)."""
    normal = stats.norm(np.float64(mean), np.exp(np.float64(log_var) / 2))
    log_prob = normal.logpdf(np.float64(z)[..., None, :]).sum(-1)
    return special.logsumexp(log_prob + np.log(weight), axis=-1)


def test_mixture_log_prob_matches_scipy():
    prior = GaussianMixture(latent_dim=4, num_components=5, seed=0)
    rng = np.random.default_rng(0)
    for weight in prior.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    z = rng.normal(size=(2, 3, 4)).astype("float32")
    weight = special.softmax(np.asarray(prior.logits))
    expected = mixture_log_density(z, weight, prior.mean, prior.log_var)
    np.testing.assert_allclose(prior.log_prob(z), expected, rtol=1e-5)


def test_mixture_integrates_to_one(mixture):
    z = np.linspace(-12, 16, 20_001, dtype="float32")
    density = np.exp(np.float64(mixture.log_prob(z[:, None])))
    np.testing.assert_allclose(integrate.simpson(density, x=z), 1.0, rtol=1e-5)


def test_mixture_samples_follow_the_density(mixture):
    z = np.ravel(mixture.sample(20_000, seed=1))
    parts = stats.norm([-4, 0, 3], np.exp(np.array([-1, 0, 1]) / 2))
    cdf = lambda z: (parts.cdf(z[:, None]) * [0.2, 0.5, 0.3]).sum(-1)  # noqa: E731
    assert stats.kstest(z, cdf).pvalue > 1e-3


def test_mixture_uniform_noise_picks_the_component(mixture):
    uniform = np.float32([0.0, 0.19, 0.21, 0.69, 0.71, 0.9999999])
    z = mixture.from_noise(np.zeros((6, 1), "float32"), uniform)
    np.testing.assert_array_equal(np.ravel(z), [-4, -4, 0, 0, 3, 3])


def test_vampprior_with_components_matches_scipy():
    prior = VampPrior(latent_dim=3, num_components=6)
    prior.build((2, 2, 1))
    rng = np.random.default_rng(0)
    mean, log_var = rng.normal(size=(2, 6, 3)).astype("float32")
    z = rng.normal(size=(2, 5, 3)).astype("float32")
    expected = mixture_log_density(z, np.full(6, 1 / 6), mean, log_var)
    np.testing.assert_allclose(
        prior.log_prob(z, lambda _: (mean, log_var)), expected, rtol=1e-5
    )


def test_vampprior_remembers_components_for_sampling():
    prior = VampPrior(latent_dim=2, num_components=3)
    prior.build((4, 4, 1))
    mean = np.float32([[-1, -1], [0, 0], [1, 1]])
    prior.refresh(lambda images: (mean, np.full((len(images), 2), -30.0, "f")))
    z = prior.from_noise(np.zeros((3, 2), "float32"), np.float32([0.1, 0.5, 0.9]))
    np.testing.assert_array_equal(z, mean)
    one = prior.log_prob(mean)
    np.testing.assert_array_equal(
        one, prior.log_prob(mean, lambda _: (prior.mean, prior.log_var))
    )


def test_vampprior_gradients_reach_the_pseudo_inputs_and_the_encoder():
    prior = VampPrior(latent_dim=2, num_components=3)
    prior.build((2, 2, 1))
    kernel = tf.Variable(tf.random.stateless_normal((4, 4), (1, 2)))

    def encode(images):
        return tf.split(tf.reshape(images, (3, 4)) @ kernel, 2, axis=1)

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(prior.log_prob(tf.ones((5, 2)), encode))
    for gradient in tape.gradient(loss, [prior.logits.value, kernel]):
        assert np.isfinite(gradient).all() and np.any(gradient != 0)
    assert len(prior.trainable_weights) == 1


ARGUMENTS = {
    "standard_normal": {},
    "mixture": {"num_components": 7, "seed": 4},
    "vampprior": {"num_components": 9, "seed": 5},
    "flow": {"num_couplings": 3, "hidden": 11, "seed": 6},
}


@pytest.mark.parametrize("name", PRIORS)
def test_prior_config_round_trip(name):
    arguments = {"latent_dim": 3, "name": "p", **ARGUMENTS[name]}
    prior = PRIORS[name](**arguments)
    copy = type(prior).from_config(prior.get_config())
    assert copy.get_config() == prior.get_config()
    assert prior.get_config().items() >= arguments.items()


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("size", [-1e30, -1e4, 1e4, 1e30])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_priors_are_finite_where_log_variances_are_wild(name, size, jit_compile):
    prior = PRIORS[name](latent_dim=3)
    prior.build((2, 2, 1))
    for weight in prior.weights:
        if weight.name == "log_var":
            weight.assign(np.full(weight.shape, size))
    kernel = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    z = tf.constant(1e4 * np.random.default_rng(1).normal(size=(5, 3)), tf.float32)

    def encode(images):
        mean = tf.reshape(images, (-1, 4)) @ kernel
        return mean, size * tf.ones_like(mean)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def run():
        with tf.GradientTape() as tape:
            tape.watch(z)
            log_prob = prior.log_prob(z, encode)
        draws = prior.from_noise(z / 1e4, tf.linspace(0.0, 0.9, 5))
        weights = [weight.value for weight in prior.trainable_weights]
        return log_prob, draws, *tape.gradient(log_prob, [z, *weights])

    assert all(np.isfinite(value).all() for value in run())


def test_the_log_variances_of_a_mixture_come_back():
    prior = GaussianMixture(latent_dim=3, num_components=2)
    for size in (-1e4, 1e4, 1e30):
        prior.log_var.assign(np.full((2, 3), size))
        with tf.GradientTape() as tape:
            log_prob = tf.reduce_sum(prior.log_prob(tf.ones((1, 3))))
        gradient = tape.gradient(log_prob, prior.log_var.value)
        assert np.all(np.sign(gradient) * np.sign(size) <= 0) and np.any(gradient != 0)


@pytest.mark.parametrize("name", ["mixture", "vampprior"])
def test_mixture_priors_reject_no_components(name):
    with pytest.raises(UsageError, match="num_components must be a whole number >= 1"):
        PRIORS[name](2, num_components=0)


@pytest.mark.parametrize("name", PRIORS)
def test_prior_same_seed_same_draw(name):
    prior = PRIORS[name](latent_dim=3)
    prior.build((2, 2, 1))
    draw = prior.sample(8, seed=3)
    assert draw.shape == (8, 3)
    np.testing.assert_array_equal(draw, prior.sample(8, seed=3))
    assert not np.array_equal(draw, prior.sample(8, seed=4))
