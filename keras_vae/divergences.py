"""Kullback-Leibler divergences in closed form, in nats.

`closed_form_kl` says whether a posterior and a prior have one; the table is below.
"""

from collections.abc import Callable

from keras import ops


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


def closed_form_kl(posterior, prior) -> Callable | None:
    """The closed-form KL divergence between a posterior and a prior, if there is one.

    Args:
        posterior: A layer of `keras_vae.posteriors`.
        prior: A layer of `keras_vae.priors`.

    Returns:
        A function from the encoder's output (B, P) to the divergence, float (B, G), in
        nats, whose sum over the last axis is the KL divergence of each image. G is
        `latent_dim` where the divergence is a sum over latents, else 1. None if there
        is no closed form: then estimate log q(z|x) - log p(z) by sampling.

    Example:
        >>> kl = closed_form_kl(posterior, prior)
        >>> kl(encoder(x))  # (B, latent_dim)
    """
    names = type(posterior).__name__, type(prior).__name__
    function = CLOSED_FORM_KL.get(names)
    return function and (lambda params: function(*posterior.split(params)))


# keyed by class, not by instance: a subclass may have another density
CLOSED_FORM_KL = {
    ("DiagonalGaussian", "StandardNormal"): kl_per_dimension,
}
