import numpy as np
import pytest

from keras_vae.errors import DataError
from keras_vae.metrics.neighbors import neighborhoods


def brute_force(y, x):
    """The definitions, one pair at a time."""

    def distance(a, b):
        return np.sqrt(((a - b) ** 2).sum())

    def radius(points, i, k):
        others = [distance(points[i], p) for j, p in enumerate(points) if j != i]
        return sorted(others)[k - 1]

    inside = lambda a, points, i, k: distance(a, points[i]) <= radius(points, i, k)  # noqa: E731
    m, n = range(len(y)), range(len(x))
    return {
        "precision": np.mean([any(inside(y[j], x, i, 3) for i in n) for j in m]),
        "recall": np.mean([any(inside(x[i], y, j, 3) for j in m) for i in n]),
        "density": np.sum([[inside(y[j], x, i, 5) for i in n] for j in m])
        / (5 * len(y)),
        "coverage": np.mean([any(inside(y[j], x, i, 5) for j in m) for i in n]),
    }


@pytest.mark.parametrize(("m", "n", "shift"), [(20, 31, 0.5), (31, 20, 2.5)])
def test_numbers_are_those_of_the_definitions(m, n, shift):
    rng = np.random.default_rng(m)
    y, x = rng.normal(size=(m, 3)) + shift, rng.normal(size=(n, 3))
    found = neighborhoods(y, x)
    assert found == pytest.approx(brute_force(y, x), rel=1e-12)
    assert 0 < found["precision"] < 1 and 0 < found["coverage"] < 1


def test_pieces_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(30, 4)), rng.normal(size=(25, 4))
    whole = neighborhoods(y, x)
    monkeypatch.setattr("keras_vae.metrics.distances.MAX_VALUES", 70)
    assert neighborhoods(y, x) == whole


def test_the_order_of_images_changes_nothing():
    rng = np.random.default_rng(1)
    y, x = rng.normal(size=(30, 4)), rng.normal(size=(25, 4))
    assert neighborhoods(rng.permutation(y), rng.permutation(x)) == neighborhoods(y, x)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_a_set_lies_in_its_own_balls(offset):
    """Far from the origin, too: each image in its own ball and those it bounds."""
    x = np.random.default_rng(2).normal(size=(200, 16)) + offset
    found = neighborhoods(np.random.default_rng(3).permutation(x), x)
    assert found == {"precision": 1, "recall": 1, "density": 1.2, "coverage": 1}


def test_equal_images_lie_in_balls_of_no_width():
    x = np.repeat(np.random.default_rng(4).normal(size=(3, 8)), 10, axis=0)
    found = neighborhoods(x, x)
    assert found == {"precision": 1, "recall": 1, "density": 2, "coverage": 1}


def test_density_of_one_distribution_is_one():
    """Naeem et al. (2020), section 3.2: in expectation, for any k and dimension."""
    rng = np.random.default_rng(5)
    draws = [
        neighborhoods(rng.normal(size=(200, 8)), rng.normal(size=(200, 8)))["density"]
        for _ in range(30)
    ]
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(np.mean(draws) - 1) < 4 * error


def test_images_far_away_are_neither_precise_nor_recalled():
    x = np.random.default_rng(6).normal(size=(50, 8))
    found = neighborhoods(x + 100, x)
    assert found == dict.fromkeys(found, 0)


def test_too_few_images_are_told_in_a_sentence():
    with pytest.raises(DataError, match=r"from 6 images on; got 5, so take more\.$"):
        neighborhoods(np.zeros((5, 2)), np.zeros((9, 2)))
