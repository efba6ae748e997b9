"""Scores on codes whose scores are known, and beside those of the package disent."""

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from keras_vae.errors import DataError
from keras_vae.metrics.disentanglement import (
    concentration,
    dci,
    halves,
    mig,
    report,
    sap,
    sentence,
)
from tests.benchmarks.disent_scores import codes_and_factors, our_scores

# Every combination of three factors, four times.
FACTORS = np.tile(np.indices((3, 4, 5)).reshape(3, -1).T, (4, 1))
PAIR = np.tile(np.indices((6, 6)).reshape(2, -1).T, (8, 1))
ROTATION = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)  # by 45 degrees
RANDOM = np.random.default_rng(0).standard_normal((2400, 6))

# `python -m tests.benchmarks.disent_scores`, disent 0.8.0 with scikit-learn 1.9.1
DISENT = {
    "mig": 0.5258940433,
    "sap": 0.2041666667,
    "sap, continuous": 0.5430132372,
    "dci disentanglement": 0.5364868720,
    "dci completeness": 0.5837619285,
    "dci informativeness": 0.7444444444,
}


def test_scores_are_those_of_disent():
    """To 1e-6; disent adds 1e-11 to importances before it takes logarithms."""
    ours = our_scores(*codes_and_factors())
    # of 5,000 draws each, and a rule of 10,000: six standard errors of the difference
    assert ours.pop("factor_vae") == pytest.approx(0.9128, abs=0.04)
    assert ours == pytest.approx(DISENT, abs=1e-6)


def test_a_code_for_each_factor_is_perfect():
    """In any order, scale and direction, and beside latents that tell nothing."""
    codes = FACTORS[:, [2, 0, 1]] * [1e-3, -5.0, 100.0] + 7.0
    codes = np.column_stack([codes, np.ones(len(codes))])
    assert mig(codes, FACTORS) == pytest.approx(1.0, abs=1e-12)
    assert sap(codes, FACTORS, continuous=True) == pytest.approx(1.0, abs=1e-12)
    found = dci(codes, FACTORS)
    # trees may use another latent at a tie, for a share below 1e-6
    assert found == pytest.approx(dict.fromkeys(found, 1.0), abs=1e-6)


def test_sap_of_a_perfect_code_of_two_values_is_a_half():
    """The accuracy of the next latent is chance: 240 images, so within 0.1."""
    factors = np.tile(np.indices((2, 2, 2)).reshape(3, -1).T, (60, 1))
    assert sap(factors, factors) == pytest.approx(0.5, abs=0.1)


def test_random_codes_tell_nothing():
    """But for what 2,400 images seem to tell: (20 - 1)(5 - 1) / 4800 nats at most."""
    factors = np.tile(FACTORS, (10, 1))
    assert 0 <= mig(RANDOM, factors) < 19 * 4 / 4800 / np.log(5)
    assert 0 <= sap(RANDOM, factors) < 0.05
    assert 0 <= sap(RANDOM, factors, continuous=True) < 0.01
    found = dci(RANDOM[:600], factors[:600])
    assert found["disentanglement"] < 0.05 and found["completeness"] < 0.05
    chance = np.mean([1 / 3, 1 / 4, 1 / 5])
    assert found["informativeness"] == pytest.approx(chance, abs=0.06)


def test_a_rotated_code_has_no_gap():
    """Each latent tells as much of one factor as the other does, by symmetry."""
    codes = PAIR @ ROTATION
    assert mig(codes, PAIR) < 0.02  # sums and differences fall differently into bins
    assert sap(codes, PAIR, continuous=True) == pytest.approx(0.0, abs=1e-12)
    found = dci(codes, PAIR)
    assert found["disentanglement"] < 0.05 and found["completeness"] < 0.05


def test_a_duplicated_code_has_no_gap_yet_is_disentangled():
    codes = np.repeat(FACTORS, 2, axis=1)
    assert mig(codes, FACTORS) == 0.0
    assert sap(codes, FACTORS) == sap(codes, FACTORS, continuous=True) == 0.0
    found = dci(codes, FACTORS)
    assert found["disentanglement"] == pytest.approx(1.0, abs=1e-6)
    assert found["informativeness"] == 1.0
    # a factor's importance is shared by two of six latents, in any proportion
    assert 1 - np.log(2) / np.log(6) <= found["completeness"] < 1


def test_concentration_is_one_less_the_entropy():
    importance = np.array([[0.2, 0.7], [0.5, 0.0], [0.0, 0.0], [0.1, 0.4]])
    rows = 1 - scipy_entropy(importance[[0, 1, 3]], axis=1, base=2)
    columns = 1 - scipy_entropy(importance, axis=0, base=4)
    weights = importance.sum(axis=1)[[0, 1, 3]], importance.sum(axis=0)
    expected = [np.average(rows, weights=weights[0])]
    expected += [np.average(columns, weights=weights[1])]
    assert list(concentration(importance).values()) == pytest.approx(expected)
    assert set(concentration(np.zeros((4, 2))).values()) == {0.0}
    assert concentration(np.full((4, 3), 0.1)) == pytest.approx(
        {"disentanglement": 0.0, "completeness": 0.0}
    )


def test_one_latent_or_one_factor_has_scores():
    for columns in (FACTORS[:, :1], FACTORS), (FACTORS, FACTORS[:, :1]):
        found = report(*columns, "abc"[: columns[1].shape[1]])
        scores = [found[name] for name in ("mig", "sap", "factor_vae", "beta_vae")]
        assert all(0 <= score <= 1 for score in [*scores, *found["dci"].values()])


def test_halves_are_apart_and_a_function_of_the_seed():
    codes = np.arange(len(FACTORS))[:, None]
    (first, _), (second, factors) = halves(codes, FACTORS, seed=3)
    together = np.sort(np.concatenate([first, second])[:, 0])
    np.testing.assert_array_equal(together, codes[:, 0])
    np.testing.assert_array_equal(factors, FACTORS[second[:, 0].astype(int)])
    (same, _), _ = halves(codes, FACTORS, seed=3)
    (other, _), _ = halves(codes, FACTORS, seed=4)
    assert (same == first).all() and (other != first).any()


def test_report_holds_scores_settings_and_names():
    codes = np.column_stack([FACTORS[:, 1], RANDOM[: len(FACTORS), 0]])
    found = report(codes, FACTORS, ["shape", "x", "y"], seed=5)
    assert found["mig"] == mig(codes, FACTORS)
    assert found["sap"] == sap(codes, FACTORS, seed=5)
    assert found["dci"] == dci(codes, FACTORS, seed=5)
    assert (found["num_images"], found["seed"]) == (240, 5)
    assert np.shape(found["mutual_information"]) == (2, 3)
    assert found["latent_names"] == ["x", None]
    text = sentence(found)
    assert text.startswith("disentanglement (240 images): mig 0.")
    assert text.endswith("; z0 moves x")
    found["latent_names"] = [None, None]
    assert sentence(found).endswith("; no latent moves one factor alone")


def test_too_few_images_are_refused():
    with pytest.raises(DataError, match="2 images are too few"):
        sap(np.eye(2), np.array([[0], [1]]))
    with pytest.raises(DataError, match="Factor 1 has one value in all 240"):
        mig(FACTORS, FACTORS * [1, 0, 1])
