import numpy as np
import pytest
from scipy import integrate, stats

from keras_vae.distributions.divergences import (
    closed_form_kl,
    kl_between_gaussians,
    kl_per_dimension,
    kl_to_standard_normal,
    register_kl,
)
from keras_vae.distributions.iaf import IAF
from keras_vae.distributions.posteriors import DiagonalGaussian, FullGaussian
from keras_vae.distributions.priors import StandardNormal


def test_kl_to_standard_normal_matches_numerical_integration():
    for mean, log_var in [(0.0, 0.0), (1.5, -2.0), (-0.7, 1.1)]:
        q, p = stats.norm(mean, np.exp(log_var / 2)), stats.norm()
        expected, _ = integrate.quad(
            lambda z, q=q, p=p: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -20, 20
        )
        actual = kl_to_standard_normal(np.float32([mean]), np.float32([log_var]))
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)


def test_kl_is_zero_when_posterior_equals_prior():
    assert float(kl_to_standard_normal(np.zeros(20, "f"), np.zeros(20, "f"))) == 0.0


def test_kl_sums_over_latents():
    rng = np.random.default_rng(0)
    mean, log_var = rng.normal(size=(2, 5, 3)).astype("float32")
    per_dimension = kl_per_dimension(mean, log_var)
    assert per_dimension.shape == (5, 3)
    np.testing.assert_allclose(
        kl_to_standard_normal(mean, log_var), np.sum(per_dimension, -1), rtol=1e-6
    )


@pytest.mark.parametrize("posterior_class", [DiagonalGaussian, FullGaussian])
def test_closed_form_kl_agrees_with_sampling(posterior_class):
    posterior, prior = posterior_class(4, seed=0), StandardNormal(4)
    params = np.random.default_rng(0).normal(size=(3, posterior.num_params)).astype("f")
    z, log_q = posterior.sample_and_log_prob(params, num_samples=20_000)
    estimates = np.asarray(log_q - prior.log_prob(z))
    closed = np.sum(closed_form_kl(posterior, prior)(params), -1)
    standard_error = estimates.std(0) / np.sqrt(20_000)
    assert (abs(estimates.mean(0) - closed) < 4 * standard_error).all()


def test_closed_form_kl_is_none_for_an_unknown_pair():
    class MyPrior(StandardNormal):
        pass

    assert closed_form_kl(DiagonalGaussian(2), MyPrior(2)) is None


def test_closed_form_kl_goes_by_type_not_by_name():
    namesake = type("DiagonalGaussian", (IAF,), {})
    other = type("StandardNormal", (StandardNormal,), {})
    assert closed_form_kl(namesake(2), StandardNormal(2)) is None
    assert closed_form_kl(DiagonalGaussian(2), other(2)) is None


def test_register_kl_serves_types_of_ones_own():
    class MyPosterior(DiagonalGaussian):
        pass

    @register_kl(MyPosterior, StandardNormal)
    def _(posterior, prior, params):
        return kl_per_dimension(*posterior.split(params)) + prior.latent_dim

    kl = closed_form_kl(MyPosterior(3), StandardNormal(3))
    np.testing.assert_array_equal(kl(np.zeros((2, 6), "f")), np.full((2, 3), 3.0))


def test_closed_form_kl_is_none_for_a_flow():
    assert closed_form_kl(IAF(2), StandardNormal(2)) is None


@pytest.fixture
def gaussians():
    """Two batches of means (5, 3) and covariances (5, 3, 3)."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(2, 5, 3))
    factors = rng.normal(size=(2, 5, 3, 3))
    covariances = factors @ np.swapaxes(factors, -1, -2) + np.eye(3)
    return means, covariances


def test_kl_between_gaussians_matches_the_textbook_formula(gaussians):
    (mean_q, mean_p), (covariance_q, covariance_p) = gaussians
    inverse = np.linalg.inv(covariance_p)
    d = mean_p - mean_q
    expected = 0.5 * (
        np.trace(inverse @ covariance_q, axis1=-2, axis2=-1)
        + np.einsum("bi,bij,bj->b", d, inverse, d)
        - 3
        + np.linalg.slogdet(covariance_p)[1]
        - np.linalg.slogdet(covariance_q)[1]
    )
    arguments = (mean_q, covariance_q, mean_p, covariance_p)
    actual = kl_between_gaussians(*(a.astype("float32") for a in arguments))
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_kl_between_gaussians_is_zero_for_equals_and_knows_the_special_cases(gaussians):
    mean, covariance = (part[0].astype("float32") for part in gaussians)
    same = kl_between_gaussians(mean, covariance, mean, covariance)
    np.testing.assert_allclose(same, 0.0, atol=1e-5)
    log_var = mean - 0.3
    diagonal = np.exp(log_var)[..., None] * np.eye(3, dtype="f")
    standard = np.broadcast_to(np.eye(3, dtype="f"), diagonal.shape)
    actual = kl_between_gaussians(mean, diagonal, np.zeros_like(mean), standard)
    expected = kl_to_standard_normal(mean, log_var)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
