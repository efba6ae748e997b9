import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from keras_vae.errors import UsageError
from keras_vae.exploring.paths import (
    PATHS,
    class_direction,
    linear_path,
    normal_quantiles,
    principal_components,
    quantile_grid,
    spherical_path,
    traversal,
)


def unit_pair(dimension, seed):
    pair = np.random.default_rng(seed).normal(size=(2, dimension))
    return pair / np.linalg.norm(pair, axis=1, keepdims=True)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("dimension", [1, 2, 20])
def test_paths_begin_and_end_where_they_should(path, dimension):
    start, end = np.random.default_rng(dimension).normal(size=(2, dimension))
    points = path(start, end, 7)
    assert points.shape == (7, dimension)
    np.testing.assert_allclose(points[[0, -1]], [start, end], atol=1e-14)
    np.testing.assert_allclose(path(end, start, 7), points[::-1], atol=1e-14)
    with pytest.raises(UsageError, match="num must be a whole number >= 2"):
        path(start, end, 1)


def test_linear_path_has_even_steps():
    points = linear_path(np.array([1.0, -1.0]), np.array([3.0, 0.0]), 5)
    np.testing.assert_allclose(np.diff(points, axis=0), [[0.5, 0.25]] * 4)


@pytest.mark.parametrize("dimension", [2, 3, 50])
def test_spherical_path_equals_the_closed_form(dimension):
    for seed in range(20):
        start, end = 4.5 * unit_pair(dimension, seed)
        angle = np.arccos(start @ end / 4.5**2)
        t = np.linspace(0, 1, 9)[:, None]
        expected = (np.sin((1 - t) * angle) * start + np.sin(t * angle) * end) / np.sin(
            angle
        )
        # the closed form loses digits where sin(angle) is small, as in two dimensions
        np.testing.assert_allclose(spherical_path(start, end, 9), expected, atol=1e-11)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(2, 30),
    st.integers(0, 2**31),
    st.floats(-13, 0),
    st.sampled_from([-1.0, 1.0]),
)
def test_spherical_path_stays_on_the_sphere_at_even_angles(d, seed, exponent, sign):
    """Also near parallel (sign 1) and near opposite (sign -1) vectors."""
    start, noise = unit_pair(d, seed)
    end = sign * start + 10**exponent * noise
    end /= np.linalg.norm(end)
    points = spherical_path(start, end, 6)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(points[[0, -1]], [start, end], atol=1e-12)
    chords = np.linalg.norm(np.diff(points, axis=0), axis=1)
    np.testing.assert_allclose(chords, chords.mean(), atol=1e-12)


def test_spherical_path_at_exactly_parallel_and_opposite_vectors():
    start = np.array([3.0, 4.0, 0.0])
    np.testing.assert_allclose(spherical_path(start, start, 4), [start] * 4)
    points = spherical_path(start, -start, 5)
    np.testing.assert_allclose(points[2], [0, 0, 5], atol=1e-14)  # a quarter turn
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 5)
    np.testing.assert_allclose(points[-1], -start, atol=1e-14)


def test_spherical_path_interpolates_lengths():
    points = spherical_path(np.array([2.0, 0.0]), np.array([0.0, 6.0]), 3)
    np.testing.assert_allclose(points[1], [np.sqrt(8), np.sqrt(8)])
    doubled = spherical_path(np.array([1.0, 2.0]), np.array([2.0, 4.0]), 3)
    np.testing.assert_allclose(doubled[1], [1.5, 3.0])


def test_spherical_path_is_linear_where_there_is_no_angle():
    zero, end = np.zeros(3), np.ones(3)
    np.testing.assert_array_equal(
        spherical_path(zero, end, 4), linear_path(zero, end, 4)
    )
    np.testing.assert_allclose(
        spherical_path(np.array([-1.0]), np.array([1.0]), 3), [[-1], [0], [1]]
    )


def test_traversal_varies_one_dimension_a_row():
    z = np.array([0.1, 0.2, 0.3])
    grid = traversal(z, [2, 0], [-3.0, 3.0])
    expected = [
        [[0.1, 0.2, -3], [0.1, 0.2, 3]],
        [[-3, 0.2, 0.3], [3, 0.2, 0.3]],
    ]
    np.testing.assert_array_equal(grid, expected)
    own = traversal(z, [2, 0], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    np.testing.assert_array_equal(own[0, :, 2], [1, 2, 3])
    np.testing.assert_array_equal(own[1, :, 0], [4, 5, 6])


@pytest.mark.parametrize("num", [1, 2, 20])
def test_quantiles_are_those_of_scipy(num):
    expected = stats.norm.ppf((np.arange(num) + 0.5) / num)
    np.testing.assert_allclose(normal_quantiles(num), expected, atol=1e-9)
    grid = quantile_grid(num)
    assert grid.shape == (num, num, 2)
    np.testing.assert_allclose(grid[:, :, 0], [expected] * num, atol=1e-9)
    np.testing.assert_allclose(grid[::-1, 0, 1], expected, atol=1e-9)


def test_direction_between_gaussian_classes_is_the_difference_of_their_means():
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0, 0], [5, 0, 0], [1, -2, 3]])
    labels = rng.integers(0, 3, 30_000)
    mean = centers[labels] + 0.5 * rng.normal(size=(30_000, 3))
    found = class_direction(mean, labels, 1, 2)
    # standard error 0.5 * sqrt(2 / 10,000) = 0.007
    np.testing.assert_allclose(found, [-4, -2, 3], atol=0.03)
    np.testing.assert_allclose(class_direction(mean, labels, 2, 1), -found)
    np.testing.assert_array_equal(class_direction(mean, labels, 0, 0), 0)
    with pytest.raises(UsageError, match="No image has class 7; there are 0, 1, 2"):
        class_direction(mean, labels, 0, 7)


def test_principal_components_of_a_gaussian():
    rng = np.random.default_rng(1)
    basis, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    scales = np.array([4.0, 2, 1, 0.5, 0.1])
    points = rng.normal(size=(20_000, 5)) * scales @ basis.T + 7
    view, share = principal_components(points)
    np.testing.assert_allclose(view.std(axis=0), [4, 2], rtol=0.03)
    np.testing.assert_allclose(share, scales[:2] ** 2 / (scales**2).sum(), rtol=0.03)
    np.testing.assert_allclose(view.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(principal_components(-points)[0], -view, atol=1e-9)
    view, share = principal_components(np.ones((4, 3)))
    assert np.isfinite(view).all() and (share == 0).all()
