import numpy as np
import pytest

from keras_vae.distributions.divergences import closed_form_kl
from keras_vae.distributions.posteriors import DiagonalGaussian
from keras_vae.distributions.priors import StandardNormal
from keras_vae.objectives.terms import Terms


@pytest.fixture
def terms():
    rng = np.random.default_rng(0)
    log_likelihood, log_prior, log_posterior = rng.normal(size=(3, 2, 4)).astype("f")
    kl = rng.uniform(size=(4, 3)).astype("f")
    return Terms(log_likelihood, log_prior, log_posterior, kl)


@pytest.fixture
def batch():
    """Terms of two samples of five images, the last of which only pads the batch."""
    rng = np.random.default_rng(0)
    posterior, prior = DiagonalGaussian(3, seed=0), StandardNormal(3)
    params = rng.normal(size=(5, 6)).astype("float32")
    z, log_q = posterior.sample_and_log_prob(params, 2)
    return Terms(
        rng.normal(size=(2, 5)).astype("float32"),
        prior.log_prob(z),
        log_q,
        closed_form_kl(posterior, prior)(params),
        z,
        np.float32([1, 1, 1, 1, 0]),
        params,
        posterior,
        prior,
    )
