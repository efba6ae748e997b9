import dataclasses

import numpy as np
import tensorflow as tf

from keras_vae.objectives.elbo import ELBO
from keras_vae.objectives.terms import Terms


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
