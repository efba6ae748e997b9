import numpy as np
import pytest
import tensorflow as tf

from keras_vae.distributions.divergences import closed_form_kl
from keras_vae.distributions.iaf import IAF
from keras_vae.distributions.latents import OneLevel
from keras_vae.distributions.posteriors import DiagonalGaussian, FullGaussian
from keras_vae.distributions.priors import StandardNormal, VampPrior
from keras_vae.errors import UsageError
from keras_vae.objectives.aggregate import BetaTCVAE, InfoVAE
from keras_vae.objectives.elbo import ELBO
from keras_vae.objectives.importance import DReG
from keras_vae.objectives.table import OBJECTIVES, check_latents
from keras_vae.objectives.terms import Terms


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


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("size", [-1e30, -1e4, 1e4, 1e30])
def test_objectives_are_finite_at_wild_log_variances_and_weights(
    name, jit_compile, size
):
    objective, params = OBJECTIVES[name](), np.zeros((4, 6), "float32")
    latents = OneLevel(DiagonalGaussian(3, seed=0), StandardNormal(3))
    params[0, 3:] = size
    params[1:3] = np.random.default_rng(0).normal(size=(2, 6))

    @tf.function(jit_compile=jit_compile, autograph=False)
    def run(params):
        with tf.GradientTape() as tape:
            tape.watch(params)
            found = latents.infer(params, 2, scalable=objective.doubly_reparameterized)
            # the images' likelihoods are as far apart as float32 lets them
            log_likelihood = tf.constant([[0.0, size, -90.0, 5.0], [0.0, 3.0, 0.0, 5]])
            log_likelihood -= tf.reduce_sum(tf.square(tf.tanh(found.z)), axis=-1)
            losses = objective.loss(
                Terms(
                    log_likelihood,
                    **found._asdict(),
                    weight=tf.ones(4),
                    params=params,
                    posterior=latents.posterior,
                    prior=latents.prior,
                    step=tf.constant(3),
                )
            )
        return losses, tape.gradient(losses, params)

    assert all(np.isfinite(value).all() for value in run(tf.constant(params)))


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
