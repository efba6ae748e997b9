import dataclasses

import numpy as np
import pytest
from scipy import special, stats

from keras_vae.distributions.priors import StandardNormal
from keras_vae.objectives.aggregate import BetaTCVAE, InfoVAE
from keras_vae.objectives.terms import Terms


@pytest.mark.parametrize("num_images", [None, 50])
def test_beta_tcvae_with_all_weights_one_is_the_elbo(batch, num_images):
    loss = BetaTCVAE(alpha=1, beta=1, gamma=1, num_images=num_images).loss(batch)
    expected = -np.mean(batch.log_weight, axis=0)
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_images", [None, 50])
def test_beta_tcvae_matches_the_definition_and_leaves_padding_out(batch, num_images):
    mean, log_var = np.split(np.float64(batch.params), 2, -1)
    z = np.float64(batch.z)
    pairs = stats.norm(mean, np.exp(log_var / 2)).logpdf(z[:, :, None])  # (S, B, B, D)
    total = np.zeros((2, 5))
    for s in range(2):
        for i in range(4):
            weight = np.full(4, 1 / 4)
            if num_images:
                weight = np.full(4, (1 - 1 / num_images) / 3)
                weight[i] = 1 / num_images
            log_weight = np.log(weight)[:, None]
            log_q = special.logsumexp(log_weight[:, 0] + pairs[s, i, :4].sum(-1))
            product = special.logsumexp(log_weight + pairs[s, i, :4], axis=0).sum()
            total[s, i] = (
                0.5 * (pairs[s, i, i].sum() - log_q)
                + 6.0 * (log_q - product)
                + 2.0 * (product - stats.norm.logpdf(z[s, i]).sum())
                - batch.log_likelihood[s, i]
            )
    objective = BetaTCVAE(alpha=0.5, beta=6.0, gamma=2.0, num_images=num_images)
    np.testing.assert_allclose(objective.loss(batch)[:4], total.mean(0)[:4], rtol=1e-4)


def test_infovae_matches_the_definition_and_leaves_padding_out(batch):
    objective = InfoVAE(alpha=0.25, lambda_=8.0, seed=3)
    draws = np.float64(batch.prior.sample(5, seed=InfoVAE(seed=3).seed_generator))
    z = np.float64(batch.z)[0, :4]
    kernel = lambda a, b: np.exp(-np.sum((a - b) ** 2) / 6)  # noqa: E731
    distinct = lambda r: np.mean(  # noqa: E731
        [kernel(a, b) for i, a in enumerate(r) for j, b in enumerate(r) if i != j]
    )
    cross = np.mean([kernel(a, b) for a in z for b in draws])
    discrepancy = distinct(z) + distinct(draws) - 2 * cross
    kl = np.sum(batch.kl_by_group, -1)
    expected = 0.75 * kl - batch.log_likelihood.mean(0) + 7.25 * discrepancy
    np.testing.assert_allclose(objective.loss(batch), expected, rtol=1e-4)


def test_infovae_discrepancy_is_zero_between_equal_distributions():
    zeros = np.zeros((1, 2_000), "float32")
    prior = StandardNormal(2)
    z = np.random.default_rng(0).normal(size=(1, 2_000, 2)).astype("float32")
    objective = InfoVAE(alpha=1.0, lambda_=1.0)
    same = Terms(zeros, kl_by_group=zeros.T, z=z, prior=prior)
    other = dataclasses.replace(same, z=z + 1.0)
    assert abs(float(objective.loss(same)[0])) < 0.002
    assert float(objective.loss(other)[0]) > 0.1
