import numpy as np
import pytest
import tensorflow as tf

from keras_vae.errors import UsageError
from keras_vae.objectives import ELBO, OBJECTIVES, Terms


@pytest.fixture
def terms():
    rng = np.random.default_rng(0)
    log_likelihood, log_prior, log_posterior = rng.normal(size=(3, 2, 4)).astype("f")
    kl = rng.uniform(size=(4, 3)).astype("f")
    return Terms(log_likelihood, log_prior, log_posterior, kl)


def test_elbo_loss_is_kl_minus_log_likelihood(terms):
    log_likelihood = terms.log_likelihood.mean(0)
    kl = terms.kl_per_dimension.sum(-1)
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
    kl = terms.kl_per_dimension.sum(-1)
    np.testing.assert_allclose(loss() - before, 2 * kl, rtol=1e-5)
    assert objective.trainable_weights == []
    assert len(objective.non_trainable_weights) == 1


@pytest.mark.parametrize("beta", [-1.0, float("nan"), float("inf"), "4"])
def test_elbo_rejects_a_beta_below_zero(beta):
    with pytest.raises(UsageError, match="beta must be a number >= 0. Got"):
        ELBO(beta=beta)


def test_objective_config_round_trip():
    objective = OBJECTIVES["elbo"](beta=0.5, name="mine")
    copy = ELBO.from_config(objective.get_config())
    assert copy.get_config() == objective.get_config()
    assert float(copy.beta) == 0.5 and copy.name == "mine"
