"""Kullback-Leibler divergences in closed form, in nats.

`closed_form_kl` says whether a posterior and a prior have one; `register_kl` adds one
for types of your own.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from keras import ops

from keras_vae.distributions.posteriors import DiagonalGaussian, FullGaussian
from keras_vae.distributions.priors import StandardNormal


def kl_per_dimension(mean, log_var):
    """KL divergence from a diagonal Gaussian to the standard normal, for each latent.

    Kingma & Welling (2014), appendix B: 0.5 * (mean^2 + exp(log_var) - log_var - 1).

    Args:
        mean: float (..., latent_dim).
        log_var: float (..., latent_dim), natural log of the variance.

    Returns:
        float (..., latent_dim), nats; zero where mean = 0 and log_var = 0.
    """
    return 0.5 * (ops.square(mean) + ops.exp(log_var) - log_var - 1.0)


def kl_to_standard_normal(mean, log_var):
    """KL divergence from a diagonal Gaussian to the standard normal, in closed form.

    Kingma & Welling (2014), appendix B:
    0.5 * sum_d(mean_d^2 + exp(log_var_d) - log_var_d - 1).

    Args:
        mean: float (..., latent_dim).
        log_var: float (..., latent_dim), natural log of the variance.

    Returns:
        float (...), nats per example, summed over the latents, >= 0 up to rounding.

    Example:
        >>> float(kl_to_standard_normal(ops.ones((20,)), ops.zeros((20,))))
        10.0
    """
    return ops.sum(kl_per_dimension(mean, log_var), axis=-1)


def kl_of_scale_tril(mean, scale_tril):
    """KL divergence from a full-covariance Gaussian to the standard normal.

    0.5 * (sum_ij L_ij^2 + |mean|^2 - D) - sum_d log(L_dd), with covariance L L^T.

    Args:
        mean: float (..., D).
        scale_tril: float (..., D, D), lower triangular L with a positive diagonal.

    Returns:
        float (..., 1), nats: it is no sum over latents, and counts as one group.
    """
    # not `ops.diagonal`, which cannot be exported
    diagonal = ops.sum(scale_tril * np.eye(mean.shape[-1], dtype="float32"), axis=-1)
    square = ops.sum(ops.square(scale_tril), axis=-1) + ops.square(mean) - 1.0
    return ops.sum(0.5 * square - ops.log(diagonal), axis=-1, keepdims=True)


def kl_between_gaussians(mean_q, covariance_q, mean_p, covariance_p):
    """KL divergence between two multivariate Gaussians, KL(q || p).

    0.5 * (trace(C_p^-1 C_q) + d^T C_p^-1 d - D + log det C_p - log det C_q) with
    d = mean_p - mean_q (Doersch 2016, eq. 6), through Cholesky factors.

    Args:
        mean_q: float (..., D).
        covariance_q: float (..., D, D), symmetric and positive definite.
        mean_p: float (..., D).
        covariance_p: float (..., D, D), symmetric and positive definite.

    Returns:
        float (...), in nats, >= 0 up to rounding.

    Example:
        >>> mean, covariance = ops.zeros((2,)), ops.eye(2)
        >>> float(kl_between_gaussians(mean + 1.0, covariance, mean, covariance))
        1.0
    """
    scale_q = ops.linalg.cholesky(covariance_q)
    scale_p = ops.linalg.cholesky(covariance_p)
    difference = ops.expand_dims(ops.subtract(mean_p, mean_q), -1)  # (..., D, 1)
    whitened = ops.linalg.solve_triangular(
        scale_p, ops.concatenate([scale_q, difference], axis=-1), lower=True
    )  # (..., D, D + 1)
    trace_and_distance = ops.sum(ops.square(whitened), axis=(-2, -1))
    log_diagonals = [
        ops.log(ops.diagonal(scale, axis1=-2, axis2=-1)) for scale in (scale_p, scale_q)
    ]
    log_determinants = ops.sum(log_diagonals[0] - log_diagonals[1], axis=-1)
    return 0.5 * (trace_and_distance - scale_q.shape[-1]) + log_determinants


def register_kl(posterior_type: type, prior_type: type) -> Callable:
    """Says that a pair of types has a closed-form KL divergence; a decorator.

    The types are compared as they are: a subclass may have another density, and
    registers its own.

    Args:
        posterior_type: A class of posteriors.
        prior_type: A class of priors.

    Returns:
        A decorator of a function from (posterior, prior, params), params float (B, P)
        being the encoder's output, to the divergence, float (B, G), in nats: one column
        a latent where it is a sum over latents, else one in all.

    Example:
        >>> class MyPosterior(DiagonalGaussian):
        ...     pass
        >>> @register_kl(MyPosterior, StandardNormal)
        ... def _(posterior, prior, params):
        ...     return kl_per_dimension(*posterior.split(params))
    """

    def register(function):
        _CLOSED_FORM[posterior_type, prior_type] = function
        return function

    return register


def closed_form_kl(posterior, prior) -> Callable | None:
    """The closed-form KL divergence between a posterior and a prior, if there is one.

    Args:
        posterior: A layer of `keras_vae.distributions.posteriors`.
        prior: A layer of `keras_vae.distributions.priors`.

    Returns:
        A function from the encoder's output (B, P) to the divergence, float (B, G), in
        nats, whose sum over the last axis is the KL divergence of each image. G is
        `latent_dim` where the divergence is a sum over latents, else 1. None if there
        is no closed form: then estimate log q(z|x) - log p(z) by sampling.

    Example:
        >>> kl = closed_form_kl(posterior, prior)
        >>> tuple(kl(encoder(x)).shape)  # (B, latent_dim)
        (8, 20)
    """
    function = _CLOSED_FORM.get((type(posterior), type(prior)))
    return function and partial(function, posterior, prior)


_CLOSED_FORM: dict[tuple[type, type], Callable] = {}


@register_kl(DiagonalGaussian, StandardNormal)
def _(posterior, prior, params):
    return kl_per_dimension(*posterior.split(params))


@register_kl(FullGaussian, StandardNormal)
def _(posterior, prior, params):
    return kl_of_scale_tril(*posterior.split(params))
