import dataclasses

import numpy as np
import pytest

from keras_vae.objectives.terms import Objective, weighted_mean


def test_terms_add_up(terms):
    kl = terms.kl_by_group.sum(axis=-1)
    np.testing.assert_allclose(terms.kl_divergence, kl, rtol=1e-6)
    np.testing.assert_allclose(
        terms.elbo, terms.log_likelihood.mean(axis=0) - kl, rtol=1e-6
    )
    expected = terms.log_likelihood + terms.log_prior - terms.log_posterior
    np.testing.assert_allclose(terms.log_weight, expected, rtol=1e-6)


def test_the_kl_divergence_is_estimated_where_it_is_not_known(terms):
    sampled = dataclasses.replace(terms, kl_by_group=None)
    expected = (terms.log_posterior - terms.log_prior).mean(axis=0)
    np.testing.assert_allclose(sampled.kl_divergence, expected, rtol=1e-6)
    np.testing.assert_allclose(
        sampled.elbo, terms.log_weight.mean(axis=0), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("shape", [(5,), (5, 3)])
def test_weighted_mean_is_that_of_numpy(shape):
    values = np.random.default_rng(0).normal(size=shape).astype("f")
    np.testing.assert_allclose(weighted_mean(values, None), values.mean(0), rtol=1e-5)
    weight = np.float32([1, 2, 0, 0.5, 3])
    expected = np.average(values, axis=0, weights=weight)
    np.testing.assert_allclose(weighted_mean(values, weight), expected, rtol=1e-5)
    small = weighted_mean(values, 1e-6 * weight)
    np.testing.assert_allclose(small, expected, rtol=1e-5)
    np.testing.assert_array_equal(weighted_mean(values, 0 * weight), 0 * values[0])


def test_an_objective_without_a_loss_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        Objective()
