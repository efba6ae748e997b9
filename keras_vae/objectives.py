"""Objectives: what training minimises, from terms in nats per image.

An objective is a Keras layer (so that its weights, such as beta, are tracked and saved)
with one method,

    loss(terms) -> float (B,), nats per image; the model minimises its weighted mean

`Terms` carries what one pass of the model found. Fields that an objective does not use
cost nothing: the operations behind them are pruned from the compiled step, so the model
fills in all of them and the objective picks.
"""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_vae.errors import number


@dataclasses.dataclass(frozen=True)
class Terms:
    """What one pass of the model found: S samples, B images, everything in nats.

    Args:
        log_likelihood: float (S, B), log p(x|z).
        log_prior: float (S, B), log p(z).
        log_posterior: float (S, B), log q(z|x).
        kl_per_dimension: float (B, G), from `divergences.closed_form_kl`, or None.
        z: float (S, B, D), the samples.
        weight: float (B,), 0 for the images that only pad the last batch, else 1.
        params: float (B, P), the encoder's output.
        posterior: The layer that reads `params`.
        prior: The layer that gave `log_prior`.
        step: int scalar, optimiser steps done so far; None outside training.
    """

    log_likelihood: Any
    log_prior: Any = None
    log_posterior: Any = None
    kl_per_dimension: Any = None
    z: Any = None
    weight: Any = None
    params: Any = None
    posterior: Any = None
    prior: Any = None
    step: Any = None

    @property
    def kl_divergence(self):
        """KL(q(z|x) || p(z)), float (B,): closed form where known, else estimated."""
        if self.kl_per_dimension is not None:
            return ops.sum(self.kl_per_dimension, axis=-1)
        return ops.mean(self.log_posterior - self.log_prior, axis=0)

    @property
    def elbo(self):
        """The evidence lower bound with beta = 1, float (B,); higher is better."""
        return ops.mean(self.log_likelihood, axis=0) - self.kl_divergence

    @property
    def log_weight(self):
        """Log importance weights, log p(x, z) - log q(z|x), float (S, B)."""
        return self.log_likelihood + self.log_prior - self.log_posterior


@keras.saving.register_keras_serializable(package="keras_vae")
class ELBO(keras.layers.Layer):
    """The negative evidence lower bound, with a weight beta on the KL divergence.

    loss = -E_q[log p(x|z)] + beta * KL(q(z|x) || p(z)); beta = 1 is Kingma & Welling
    (2014), eq. 3; beta > 1 the beta-VAE of Higgins et al. (2017). `beta` is held in a
    non-trainable variable: assign to it during training and the compiled step follows.

    Args:
        beta: float >= 0. Use 0 for an autoencoder without the KL term.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If `beta` is negative.

    Example:
        >>> terms = Terms(ops.full((1, 4), -90.0), kl_per_dimension=ops.ones((4, 20)))
        >>> ELBO(beta=2.0).loss(terms).numpy().tolist()
        [130.0, 130.0, 130.0, 130.0]
    """

    def __init__(self, beta: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self._config = {"beta": number("beta", beta)}
        self.beta = _variable(self, "beta", beta)
        self.built = True

    def loss(self, terms: Terms):
        """The loss of each image, float (B,), in nats."""
        log_likelihood = ops.mean(terms.log_likelihood, axis=0)
        return self.beta * terms.kl_divergence - log_likelihood

    def get_config(self):
        return {**super().get_config(), **self._config}


def _variable(layer, name, value):
    """A non-trainable scalar: the compiled step reads it anew at every step."""
    initializer = keras.initializers.Constant(value)
    return layer.add_weight(
        shape=(), name=name, initializer=initializer, trainable=False
    )


OBJECTIVES = {
    "elbo": ELBO,
}
