import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import mutual_info_score

from keras_vae.errors import DataError
from keras_vae.metrics.factors import (
    checked,
    entropy,
    latent_names,
    mutual_information,
)

FACTORS = np.indices((3, 4, 5)).reshape(3, -1).T


def test_mutual_information_is_that_of_scikit_learn():
    """To rounding: sums of at most 20 * 5 terms."""
    codes = np.random.default_rng(0).standard_normal((60, 4)) + FACTORS[:, [0, 1, 2, 0]]
    found = mutual_information(codes, FACTORS)
    for j, k in np.ndindex(found.shape):
        edges = np.linspace(codes[:, j].min(), codes[:, j].max(), 21)
        bins = np.clip(np.searchsorted(edges, codes[:, j], side="right"), 1, 20)
        expected = mutual_info_score(bins, FACTORS[:, k])
        assert found[j, k] == pytest.approx(expected, abs=1e-12)


def test_entropy_is_that_of_scipy_whatever_numbers_the_values_have():
    factors = np.array([[7, -3], [7, 5], [9, 5], [100, 5]])
    expected = [scipy_entropy([2, 1, 1]), scipy_entropy([1, 3])]
    np.testing.assert_allclose(entropy(factors), expected, rtol=1e-12)


def test_a_latent_is_named_by_the_one_factor_that_it_moves():
    shape, x, y = FACTORS.T
    noise = np.random.default_rng(0).standard_normal(60)
    codes = np.stack(
        [-x, shape + 3 * x, x + 5 * y, noise * 0 + 1, shape, 2 * x], axis=1
    )
    names = latent_names(codes, FACTORS, ["shape", "x", "y"])
    assert names == ["x", None, None, None, "shape", "x"]
    # one of 100 images tells a little of the factor: not enough for a name
    factors = np.tile(np.arange(2)[:, None], (50, 1))
    faint = np.zeros((100, 1))
    faint[0] = 1
    assert latent_names(faint, factors, ["x"]) == [None]
    assert latent_names(factors, factors, ["x"]) == ["x"]


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (np.ones((3, 2)), np.ones((4, 1), int), r"got \(3, 2\) and \(4, 1\)"),
        (np.ones(3), np.arange(3)[:, None], r"got \(3,\) and"),
        (np.ones((3, 2)), np.arange(3), r"and \(3,\)"),
        (np.ones((3, 0)), np.arange(3)[:, None], "at least one image and latent"),
        (np.ones((0, 2)), np.ones((0, 1), int), "at least one image and latent"),
        (np.ones((3, 2)), np.ones((3, 1)), "whole numbers as factors"),
        (np.ones((3, 2)), np.ones((3, 0), int), "expected factors that vary"),
        (np.ones((3, 2)), np.ones((3, 1), int), "Factor 0 has one value in all 3"),
        (np.full((3, 2), np.nan), np.arange(3)[:, None], "NaN or infinite"),
    ],
)
def test_what_has_no_scores_is_refused(codes, factors, message):
    with pytest.raises(DataError, match=message):
        checked(codes, factors)
