"""Every member of every table keeps its contract; what breaks one is told so."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import testing
from keras_vae.distributions.latents import OneLevel
from keras_vae.distributions.likelihoods import Bernoulli, Likelihood
from keras_vae.distributions.normal import normal_log_prob
from keras_vae.distributions.posteriors import DiagonalGaussian, Posterior
from keras_vae.distributions.priors import Prior, StandardNormal
from keras_vae.distributions.table import LIKELIHOODS, POSTERIORS, PRIORS
from keras_vae.errors import UsageError
from keras_vae.objectives.elbo import ELBO
from keras_vae.objectives.table import OBJECTIVES, check_latents


@pytest.mark.parametrize("name", POSTERIORS)
def test_posteriors_keep_the_contract(name):
    testing.check_posterior(POSTERIORS[name](3, seed=0))


@pytest.mark.parametrize("name", PRIORS)
def test_priors_keep_the_contract(name):
    few = {"num_components": 5} if name in ("mixture", "vampprior") else {}
    testing.check_prior(PRIORS[name](3, **few))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods_keep_the_contract(name, channels):
    testing.check_likelihood(LIKELIHOODS[name](), channels)


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_keep_the_contract(name, posterior):
    latents = OneLevel(POSTERIORS[posterior](3, seed=0), StandardNormal(3))
    objective = OBJECTIVES[name]()
    try:
        check_latents(objective, latents)
    except UsageError:
        return  # a pair that is refused; test_contract.py says in which words
    testing.check_objective(objective, latents)


class Shifted(DiagonalGaussian):
    """Its density is that of another mean."""

    def sample_and_log_prob(self, params, num_samples=1):
        z, log_q = super().sample_and_log_prob(params, num_samples)
        return z + 0.1, log_q


class Narrow(StandardNormal):
    """Its draws are not those of its density."""

    def from_noise(self, normal, uniform):
        return 0.9 * normal


class Random(StandardNormal):
    """It draws by itself."""

    def from_noise(self, normal, uniform):
        return keras.random.normal(ops.shape(normal), seed=0)


class Sum(ELBO):
    """A loss of the batch, not of the images."""

    def loss(self, terms):
        return ops.mean(super().loss(terms))


class Leaky(Bernoulli):
    """Probabilities that sum to more than 1."""

    def log_prob(self, params, x):
        return super().log_prob(params, x) + 0.1


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: testing.check_posterior(Shifted(3, seed=0)), "log_prob at the draws"),
        (lambda: testing.check_prior(Narrow(3)), "Draws must follow log p"),
        (lambda: testing.check_prior(Random(3)), "must draw nothing.*Random"),
        (lambda: testing.check_likelihood(Leaky()), "sum of a pixel's prob"),
        (
            lambda: testing.check_objective(
                Sum(), OneLevel(DiagonalGaussian(3, seed=0), StandardNormal(3))
            ),
            r"loss must have the shape \(4,\)",
        ),
        (lambda: testing.check_prior(DiagonalGaussian(3)), "Expected a Prior; got a D"),
    ],
)
def test_what_breaks_a_contract_is_told_so(check, message):
    with pytest.raises(AssertionError, match=message):
        check()


# === The examples of the contracts' docstrings keep them, too ===


class Unit(Posterior):
    def __init__(self, latent_dim, seed=None, **kwargs):
        super().__init__(latent_dim, seed, **kwargs)
        self.num_params = self.latent_dim

    def split(self, params):
        return params, ops.zeros_like(params)

    def sample_and_log_prob(self, params, num_samples=1):
        noise = self.sampling.noise(params, num_samples)
        return params + noise, ops.sum(normal_log_prob(noise), axis=-1)


class Wide(Prior):
    def log_prob(self, z, encode=None):
        return ops.sum(normal_log_prob(z / 2, math.log(4)), axis=-1)

    def from_noise(self, normal, uniform):
        return 2 * normal


class Laplace(Likelihood):
    num_params = 1

    def log_prob(self, params, x):
        return -ops.sum(abs(x - params) + math.log(2), axis=(-3, -2, -1))

    def mean(self, params):
        return ops.clip(params, 0.0, 1.0)

    def sample(self, params, seed=None):
        u = keras.random.uniform(ops.shape(params), -1, 1, seed=seed)
        return ops.clip(params - ops.sign(u) * ops.log(1 - abs(u)), 0.0, 1.0)

    def output_bias(self, data_mean):
        return np.asarray(data_mean)


def test_parts_of_ones_own_keep_the_contract():
    testing.check_posterior(Unit(3, seed=0))
    testing.check_prior(Wide(3))
    testing.check_likelihood(Laplace())
    testing.check_latents(OneLevel(Unit(3, seed=0), Wide(3)))


def test_an_abstract_part_cannot_be_made():
    class Nothing(Prior):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Nothing(3)
