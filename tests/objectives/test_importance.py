import dataclasses

import numpy as np
import tensorflow as tf
from scipy import special, stats

from keras_vae.distributions.divergences import kl_to_standard_normal
from keras_vae.distributions.latents import scalable_gradient
from keras_vae.distributions.posteriors import DiagonalGaussian
from keras_vae.distributions.priors import StandardNormal
from keras_vae.objectives.elbo import ELBO
from keras_vae.objectives.importance import IWAE, DReG
from keras_vae.objectives.terms import Terms


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
