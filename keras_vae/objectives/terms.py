"""The terms of an objective: what one pass of the model found, in nats per image."""

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops


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
        step: int scalar, optimizer steps done so far; None outside training.
        scale_z_gradient: Takes float (S, B), by which the gradient that arrives at z is
            to be multiplied; None unless the objective is `doubly_reparameterized`.
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
    scale_z_gradient: Callable | None = None

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


def scalable_gradient(z):
    """Lets an objective say, later, by what the gradient at z is multiplied.

    Args:
        z: float (S, B, D).

    Returns:
        z, and a function that takes the factors, float (S, B), before the gradient is
        computed. Without a call the gradient is unchanged.
    """
    factors = []

    @ops.custom_gradient
    def identity(z):
        def gradient(upstream):
            return upstream * factors[-1][..., None] if factors else upstream

        return z, gradient

    return identity(z), factors.append
