"""`Terms`, what one pass found, and `Objective`, what every objective is; in nats."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_vae.replicas import num_replicas, total


@dataclasses.dataclass(frozen=True)
class Terms:
    """What one pass of the model found: S samples, B images, everything in nats.

    Args:
        log_likelihood: float (S, B), log p(x|z).
        log_prior: float (S, B), log p(z).
        log_posterior: float (S, B), log q(z|x).
        kl_by_group: float (B, G), whose sum over the groups (latents, levels) is the
            KL divergence; None where it is only known from the samples.
        z: float (S, B, D), the samples.
        weight: float (B,), 0 for the images that only pad the last batch, else 1.
        params: float (B, P), the encoder's output.
        posterior: The layer that reads `params`.
        prior: The layer that gave `log_prior`.
        step: int scalar, optimizer steps done so far; None outside training.
        scale_z_gradient: Takes float (S, B), by which the gradient that arrives at z is
            to be multiplied; None unless the objective is `doubly_reparameterized`.
        output: float (S * B, H, W, C * K), the decoder's output, where inference ran
            through the decoder.
    """

    log_likelihood: Any
    log_prior: Any = None
    log_posterior: Any = None
    kl_by_group: Any = None
    z: Any = None
    weight: Any = None
    params: Any = None
    posterior: Any = None
    prior: Any = None
    step: Any = None
    scale_z_gradient: Callable | None = None
    output: Any = None

    @property
    def kl_divergence(self):
        """KL(q(z|x) || p(z)), float (B,): closed form where known, else estimated."""
        if self.kl_by_group is not None:
            return ops.sum(self.kl_by_group, axis=-1)
        return ops.mean(self.log_posterior - self.log_prior, axis=0)

    @property
    def elbo(self):
        """The evidence lower bound with beta = 1, float (B,); higher is better."""
        return ops.mean(self.log_likelihood, axis=0) - self.kl_divergence

    @property
    def log_weight(self):
        """Log importance weights, log p(x, z) - log q(z|x), float (S, B)."""
        return self.log_likelihood + self.log_prior - self.log_posterior


class Objective(keras.layers.Layer, abc.ABC):
    """What every objective is: from terms to a loss.

    A Keras layer, so that its weights, such as beta, are tracked and saved. What it
    needs of the model it declares; terms that it does not use cost nothing, for the
    operations behind them are pruned from the compiled step.
    `keras_vae.testing.check_objective` holds a subclass to this contract.

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Attributes:
        needs_log_prob: Whether the posterior must have `log_prob` at any point.
        needs_factorized: Whether it must have `log_prob_per_dimension`.
        draws_from_prior: Whether `loss` draws from `terms.prior`.
        couples_images: Whether the loss of an image depends on which others are in its
            batch, other than by `weighted_mean`: then it needs all on one device.
        doubly_reparameterized: Whether log_posterior is to be taken with constant
            parameters, and `Terms.scale_z_gradient` handed over.

    Example:
        >>> class Squared(Objective):  # the ELBO with its KL squared
        ...     def loss(self, terms):
        ...         likelihood = ops.mean(terms.log_likelihood, axis=0)
        ...         return ops.square(terms.kl_divergence) - likelihood
    """

    needs_log_prob = False
    needs_factorized = False
    draws_from_prior = False
    couples_images = False
    doubly_reparameterized = False

    @abc.abstractmethod
    def loss(self, terms: Terms) -> Any:
        """The loss of each image, float (B,), in nats; its weighted mean is minimized.

        Args:
            terms: What one pass of the model found.
        """


def weighted_mean(values, weight):
    """The mean over the images that count, of all replicas.

    Args:
        values: float (B, ...).
        weight: float (B,), 0 for images that only pad the batch; None counts all.

    Returns:
        float (...).
    """
    return total(share_of_mean(values, weight))


def share_of_mean(values, weight):
    """What this replica's images bring to `weighted_mean`; all of it if it is alone."""
    if weight is None:
        return ops.mean(values, axis=0) / num_replicas()
    weight = ops.cast(weight, values.dtype)
    count = ops.maximum(total(ops.sum(weight)), 1e-30)  # 0 where all are padding
    weight = ops.reshape(weight, (-1, *[1] * (len(values.shape) - 1)))
    return ops.sum(weight * values, axis=0) / count
