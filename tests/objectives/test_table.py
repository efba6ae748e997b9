import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from keras_vae.distributions.divergences import closed_form_kl, kl_to_standard_normal
from keras_vae.distributions.iaf import IAF
from keras_vae.distributions.latents import OneLevel, scalable_gradient
from keras_vae.distributions.posteriors import DiagonalGaussian, FullGaussian
from keras_vae.distributions.priors import StandardNormal, VampPrior
from keras_vae.errors import UsageError
from keras_vae.objectives.aggregate import BetaTCVAE, InfoVAE
from keras_vae.objectives.elbo import ELBO
from keras_vae.objectives.importance import IWAE, DReG
from keras_vae.objectives.table import OBJECTIVES, check_latents
from keras_vae.objectives.terms import Terms


@pytest.fixture
def terms():
    rng = np.random.default_rng(0)
    log_likelihood, log_prior, log_posterior = rng.normal(size=(3, 2, 4)).astype("f")
    kl = rng.uniform(size=(4, 3)).astype("f")
    return Terms(log_likelihood, log_prior, log_posterior, kl)


def test_elbo_loss_is_kl_minus_log_likelihood(terms):
    log_likelihood = terms.log_likelihood.mean(0)
    kl = terms.kl_by_group.sum(-1)
    np.testing.assert_allclose(ELBO().loss(terms), kl - log_likelihood, rtol=1e-6)
    np.testing.assert_allclose(terms.elbo, log_likelihood - kl, rtol=1e-6)
    four = ELBO(beta=4.0).loss(terms)
    np.testing.assert_allclose(four, 4 * kl - log_likelihood, rtol=1e-6)


def test_elbo_estimates_the_kl_by_sampling_without_a_closed_form(terms):
    terms = Terms(terms.log_likelihood, terms.log_prior, terms.log_posterior)
    np.testing.assert_allclose(
        ELBO().loss(terms), -terms.log_weight.mean(0), rtol=1e-5, atol=1e-6
    )


def test_beta_is_a_variable_that_a_compiled_step_reads_anew(terms):
    objective = ELBO(beta=0.0)
    loss = tf.function(lambda: objective.loss(terms), jit_compile=True)
    before = loss()
    objective.beta.assign(2.0)
    kl = terms.kl_by_group.sum(-1)
    np.testing.assert_allclose(loss() - before, 2 * kl, rtol=1e-5)
    assert objective.trainable_weights == []
    assert len(objective.non_trainable_weights) == 2


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("elbo", {"beta": -1.0}, "beta must be a number >= 0. Got -1.0"),
        ("elbo", {"beta": float("nan")}, "beta must be a number"),
        ("elbo", {"beta": float("inf")}, "beta must be a number"),
        ("elbo", {"beta": "4"}, "beta must be a number"),
        ("elbo", {"free_bits": -0.1}, "free_bits must be a number >= 0"),
        ("elbo", {"warmup_steps": 1.5}, "warmup_steps must be a whole number >= 0"),
        ("elbo", {"warmup_cycles": 0}, "warmup_cycles must be a whole number >= 1"),
        ("beta_tcvae", {"gamma": -1}, "gamma must be a number >= 0"),
        ("beta_tcvae", {"num_images": 1}, "num_images must be a whole number >= 2"),
        ("infovae", {"alpha": 2.0}, "alpha <= 1"),
        ("infovae", {"alpha": -10.0, "lambda_": 5.0}, r"alpha \+ lambda_ >= 1"),
    ],
)
def test_objectives_reject_nonsense(name, arguments, message):
    with pytest.raises(UsageError, match=message):
        OBJECTIVES[name](**arguments)


ARGUMENTS = {
    "elbo": {"beta": 0.5, "warmup_steps": 7, "warmup_cycles": 3, "free_bits": 0.25},
    "iwae": {},
    "dreg": {},
    "beta_tcvae": {"alpha": 0.5, "beta": 3.0, "gamma": 2.0, "num_images": 100},
    "infovae": {"alpha": 0.25, "lambda_": 8.0, "seed": 4},
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objective_config_round_trip(name):
    objective = OBJECTIVES[name](name="mine", **ARGUMENTS[name])
    config = objective.get_config()
    copy = type(objective).from_config(config)
    assert copy.get_config() == config
    assert config.items() >= {"name": "mine", **ARGUMENTS[name]}.items()
    for weight, other in zip(objective.weights, copy.weights, strict=True):
        np.testing.assert_array_equal(weight, other)


# === Warm-up and free bits ===


def warmups(objective, steps):
    warmup = tf.function(objective.warmup, jit_compile=True)
    return [float(warmup(tf.constant(step))) for step in steps]


def test_linear_warmup():
    objective = ELBO(warmup_steps=10)
    assert objective.warmup(None) == 1.0
    np.testing.assert_allclose(
        warmups(objective, [0, 1, 5, 10, 11, 10**6]), [0, 0.1, 0.5, 1, 1, 1]
    )
    assert warmups(ELBO(), [0, 1, 2]) == [1, 1, 1]
    objective.warmup_steps.assign(2)
    assert warmups(objective, [1, 2]) == [0.5, 1]


def test_cyclical_warmup_rises_again_and_stays_after_the_last_cycle():
    steps = [0, 5, 10, 19, 20, 25, 30, 39, 40, 100]
    expected = [0, 0.5, 1, 1, 0, 0.5, 1, 1, 1, 1]
    np.testing.assert_allclose(
        warmups(ELBO(warmup_steps=10, warmup_cycles=2), steps), expected
    )


def test_warmup_weighs_the_kl_in_training_only(terms):
    objective = ELBO(beta=2.0, warmup_steps=4)
    log_likelihood, kl = terms.log_likelihood.mean(0), terms.kl_by_group.sum(-1)
    training = dataclasses.replace(terms, step=tf.constant(1, tf.int64))
    np.testing.assert_allclose(
        objective.loss(training), 0.25 * 2 * kl - log_likelihood, rtol=1e-5
    )
    np.testing.assert_allclose(
        objective.loss(terms), 2 * kl - log_likelihood, rtol=1e-5
    )


def test_free_bits_floor_the_mean_kl_of_each_latent(terms):
    weight = np.float32([1, 1, 1, 0])
    terms = dataclasses.replace(terms, weight=weight)
    mean = terms.kl_by_group[:3].mean(0)
    floor = float(np.sort(mean)[1])  # between the smallest and the largest
    expected = np.maximum(mean, floor).sum() - terms.log_likelihood.mean(0)
    np.testing.assert_allclose(ELBO(free_bits=floor).loss(terms), expected, rtol=1e-5)
    by_sampling = dataclasses.replace(terms, kl_by_group=None)
    loss = ELBO(free_bits=50.0).loss(by_sampling)
    np.testing.assert_allclose(loss, 50 - terms.log_likelihood.mean(0), rtol=1e-5)


# === IWAE and DReG ===


class LinearGaussian:
    """p(z) = N(0, I), p(x|z) = N(z, I): log p(x) = log N(x; 0, 2 I) exactly.

    The posterior is a Gaussian with a given mean and log-variance; the decoder has one
    parameter, a shift of the mean.
    """

    def __init__(self, num_samples, params, shift=0.0):
        self.num_samples = num_samples
        self.params = tf.Variable(params)
        self.shift = tf.Variable(shift)
        self.posterior = DiagonalGaussian(params.shape[-1] // 2, seed=0)
        self.prior = StandardNormal(params.shape[-1] // 2)

    def terms(self, x, doubly_reparameterized=False):
        params = tf.convert_to_tensor(self.params)
        z, log_q = self.posterior.sample_and_log_prob(params, self.num_samples)
        scale = None
        if doubly_reparameterized:
            z, scale = scalable_gradient(z)
            log_q = self.posterior.log_prob(tf.stop_gradient(params), z)
        log_likelihood = tf.reduce_sum(
            -0.5 * (np.log(2 * np.pi) + tf.square(x - z - self.shift)), axis=-1
        )
        return Terms(
            log_likelihood, self.prior.log_prob(z), log_q, z=z, scale_z_gradient=scale
        )


def test_iwae_with_one_sample_is_the_elbo(terms):
    one = Terms(terms.log_likelihood[:1], terms.log_prior[:1], terms.log_posterior[:1])
    np.testing.assert_allclose(IWAE().loss(one), ELBO().loss(one), rtol=1e-6)


def test_iwae_matches_the_log_mean_of_the_weights(terms):
    log_weight = np.float64(terms.log_weight)
    expected = -(special.logsumexp(log_weight, axis=0) - np.log(2))
    for objective in (IWAE(), DReG()):
        np.testing.assert_allclose(objective.loss(terms), expected, rtol=1e-5)
    far = dataclasses.replace(terms, log_likelihood=terms.log_likelihood - 1e4)
    assert np.isfinite(IWAE().loss(far)).all()


def test_iwae_bound_rises_with_samples_to_the_known_log_likelihood():
    x = np.tile(np.float32([[0.7, -1.2]]), (2_000, 1))
    truth = stats.norm(0, np.sqrt(2)).logpdf(x[0]).sum()
    params = np.tile(np.float32([[0.0, 0.0, -0.5, 0.3]]), (2_000, 1))  # a poor q
    bounds, errors = [], []
    for num_samples in (1, 10, 200):
        model = LinearGaussian(num_samples, params)
        values = -np.float64(IWAE().loss(model.terms(x)))
        bounds.append(values.mean())
        errors.append(values.std() / np.sqrt(len(values)))
    assert bounds[0] < bounds[1] < bounds[2] < truth + 3 * errors[2]
    kl = float(kl_to_standard_normal(params[:1, :2], params[:1, 2:])[0])
    expected = -0.5 * (
        2 * np.log(2 * np.pi) + (x[0] ** 2 + np.exp(params[0, 2:])).sum()
    )
    assert abs(bounds[0] - (expected - kl)) < 4 * errors[0]
    assert truth - bounds[2] < 0.02


def test_iwae_is_exact_with_the_true_posterior():
    x = np.float32([[0.7, -1.2]])
    params = np.concatenate([x / 2, np.full((1, 2), np.log(0.5), "f")], axis=-1)
    expected = stats.norm(0, np.sqrt(2)).logpdf(x).sum(-1)
    for num_samples in (1, 5):
        loss = IWAE().loss(LinearGaussian(num_samples, params).terms(x))
        np.testing.assert_allclose(loss, -expected, rtol=1e-5)


def test_dreg_gradient_is_the_iwae_gradient_in_expectation_with_less_noise():
    rows, num_samples = 20_000, 8
    x = np.tile(np.float32([[0.7, -1.2]]), (rows, 1))
    params = np.tile(np.float32([[0.9, -1.4, 0.5, 1.0]]), (rows, 1))
    gradients = {}
    for objective in (IWAE(), DReG()):
        model = LinearGaussian(num_samples, params)

        @tf.function(jit_compile=True)
        def gradient(model=model, objective=objective):
            with tf.GradientTape() as tape:
                terms = model.terms(x, objective.doubly_reparameterized)
                loss = tf.reduce_sum(objective.loss(terms))
            return tape.gradient(loss, [model.params, model.shift])

        gradients[type(objective).__name__] = [np.float64(g) for g in gradient()]
    iwae, dreg = gradients["IWAE"], gradients["DReG"]
    difference = dreg[0] - iwae[0]  # the same draws
    standard_error = difference.std(0) / np.sqrt(rows)
    assert (abs(difference.mean(0)) < 4 * standard_error).all()
    assert (abs(iwae[0].mean(0)) > 10 * standard_error).all()  # no empty claim
    assert (dreg[0].var(0) < iwae[0].var(0)).all()
    np.testing.assert_allclose(dreg[1], iwae[1], rtol=1e-4)  # the decoder's


# === beta-TCVAE and InfoVAE ===


@pytest.fixture
def batch():
    """Terms of two samples of five images, the last of which only pads the batch."""
    rng = np.random.default_rng(0)
    posterior, prior = DiagonalGaussian(3, seed=0), StandardNormal(3)
    params = rng.normal(size=(5, 6)).astype("float32")
    z, log_q = posterior.sample_and_log_prob(params, 2)
    return Terms(
        rng.normal(size=(2, 5)).astype("float32"),
        prior.log_prob(z),
        log_q,
        closed_form_kl(posterior, prior)(params),
        z,
        np.float32([1, 1, 1, 1, 0]),
        params,
        posterior,
        prior,
    )


@pytest.mark.parametrize("num_images", [None, 50])
def test_beta_tcvae_with_all_weights_one_is_the_elbo(batch, num_images):
    loss = BetaTCVAE(alpha=1, beta=1, gamma=1, num_images=num_images).loss(batch)
    expected = -np.mean(batch.log_weight, axis=0)
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_images", [None, 50])
def test_beta_tcvae_matches_the_definition_and_leaves_padding_out(batch, num_images):
    mean, log_var = np.split(np.float64(batch.params), 2, -1)
    z = np.float64(batch.z)
    pairs = stats.norm(mean, np.exp(log_var / 2)).logpdf(z[:, :, None])  # (S, B, B, D)
    total = np.zeros((2, 5))
    for s in range(2):
        for i in range(4):
            weight = np.full(4, 1 / 4)
            if num_images:
                weight = np.full(4, (1 - 1 / num_images) / 3)
                weight[i] = 1 / num_images
            log_weight = np.log(weight)[:, None]
            log_q = special.logsumexp(log_weight[:, 0] + pairs[s, i, :4].sum(-1))
            product = special.logsumexp(log_weight + pairs[s, i, :4], axis=0).sum()
            total[s, i] = (
                0.5 * (pairs[s, i, i].sum() - log_q)
                + 6.0 * (log_q - product)
                + 2.0 * (product - stats.norm.logpdf(z[s, i]).sum())
                - batch.log_likelihood[s, i]
            )
    objective = BetaTCVAE(alpha=0.5, beta=6.0, gamma=2.0, num_images=num_images)
    np.testing.assert_allclose(objective.loss(batch)[:4], total.mean(0)[:4], rtol=1e-4)


def test_infovae_matches_the_definition_and_leaves_padding_out(batch):
    objective = InfoVAE(alpha=0.25, lambda_=8.0, seed=3)
    draws = np.float64(batch.prior.sample(5, seed=InfoVAE(seed=3).seed_generator))
    z = np.float64(batch.z)[0, :4]
    kernel = lambda a, b: np.exp(-np.sum((a - b) ** 2) / 6)  # noqa: E731
    distinct = lambda r: np.mean(  # noqa: E731
        [kernel(a, b) for i, a in enumerate(r) for j, b in enumerate(r) if i != j]
    )
    cross = np.mean([kernel(a, b) for a in z for b in draws])
    discrepancy = distinct(z) + distinct(draws) - 2 * cross
    kl = np.sum(batch.kl_by_group, -1)
    expected = 0.75 * kl - batch.log_likelihood.mean(0) + 7.25 * discrepancy
    np.testing.assert_allclose(objective.loss(batch), expected, rtol=1e-4)


def test_infovae_discrepancy_is_zero_between_equal_distributions():
    zeros = np.zeros((1, 2_000), "float32")
    prior = StandardNormal(2)
    z = np.random.default_rng(0).normal(size=(1, 2_000, 2)).astype("float32")
    objective = InfoVAE(alpha=1.0, lambda_=1.0)
    same = Terms(zeros, kl_by_group=zeros.T, z=z, prior=prior)
    other = dataclasses.replace(same, z=z + 1.0)
    assert abs(float(objective.loss(same)[0])) < 0.002
    assert float(objective.loss(other)[0]) > 0.1


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_compile_for_a_batch_of_any_size(name, batch):
    objective = OBJECTIVES[name]()

    @tf.function(input_signature=[tf.TensorSpec((None, 6))])
    def loss(params):
        z, log_q = batch.posterior.sample_and_log_prob(params, 2)
        kl = closed_form_kl(batch.posterior, batch.prior)(params)
        log_p = batch.prior.log_prob(z)
        return objective.loss(
            Terms(
                log_p, log_p, log_q, kl, z, None, params, batch.posterior, batch.prior
            )
        )

    assert np.isfinite(loss(batch.params)).all()
    assert np.isfinite(loss(batch.params[:1])).all()


# === Parts that do not fit ===


def test_check_latents_refuses_what_cannot_work():
    normal, vampprior = StandardNormal(2), VampPrior(2)
    with pytest.raises(
        UsageError, match="DReG needs the posterior's log_prob, which IAF"
    ):
        check_latents(DReG(), OneLevel(IAF(2), normal))
    with pytest.raises(
        UsageError, match="BetaTCVAE needs the posterior's log_prob_per"
    ):
        check_latents(BetaTCVAE(), OneLevel(FullGaussian(2), normal))
    with pytest.raises(UsageError, match="mixture of diagonal_gaussian posteriors"):
        OneLevel(FullGaussian(2), vampprior)
    with pytest.raises(UsageError, match="InfoVAE draws from the prior"):
        check_latents(InfoVAE(), OneLevel(DiagonalGaussian(2), vampprior))
    check_latents(DReG(), OneLevel(FullGaussian(2), normal))
    check_latents(ELBO(), OneLevel(IAF(2), normal))
    check_latents(ELBO(), OneLevel(DiagonalGaussian(2), vampprior))
