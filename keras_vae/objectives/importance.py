"""Bounds on log p(x) by importance weights."""

import math

import keras
from keras import ops

from keras_vae.objectives.terms import Objective, Terms


@keras.saving.register_keras_serializable(package="keras_vae")
class IWAE(Objective):
    """The importance-weighted bound on log p(x) with S samples.

    loss = -log 1/S sum_s p(x, z_s) / q(z_s|x) (Burda et al. 2015, eq. 8). S is the
    model's `num_samples`; with one sample it is the ELBO, its KL estimated by sampling.

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Example:
        >>> vae = VAE(encoder, decoder, objective="iwae", num_samples=5)
    """

    def loss(self, terms: Terms):
        return _negative_log_mean(terms.log_weight)


@keras.saving.register_keras_serializable(package="keras_vae")
class DReG(Objective):
    """The IWAE bound with the doubly reparameterized gradient for the encoder.

    The value is that of `IWAE`. Its encoder gradient is the unbiased estimate
    sum_s w_s^2 (d log p(x, z_s)/q(z_s|x) / d z_s) (d z_s / d encoder), with normalized
    weights w_s (Tucker et al. 2019, eq. 8), whose signal does not fade as S grows, as
    IWAE's does. The decoder and the prior get IWAE's gradient, weighted by w_s.

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Example:
        >>> vae = VAE(encoder, decoder, objective="dreg", num_samples=50)
    """

    needs_log_prob = True
    doubly_reparameterized = True

    def loss(self, terms: Terms):
        if terms.scale_z_gradient is not None:
            # the loss brings one w_s to the gradient at z_s, this brings the second
            log_weight = ops.stop_gradient(terms.log_weight)
            log_sum = ops.logsumexp(log_weight, axis=0)
            terms.scale_z_gradient(ops.exp(log_weight - log_sum))  # w_s, (S, B)
        return _negative_log_mean(terms.log_weight)


def _negative_log_mean(log_weight):
    """-log of the mean over samples (S, B) of exp(log_weight), (B,)."""
    return math.log(log_weight.shape[0]) - ops.logsumexp(log_weight, axis=0)
