import numpy as np
import pytest

from keras_vae.data.sources import load
from keras_vae.data.sprites import FACTORS, RADIUS, SIZE, render

SIZES = tuple(FACTORS.values())
SHAPE, SCALE, ROTATION, X, Y = range(5)


@pytest.fixture(scope="module")
def source():
    return load("sprites")


def moments(images):
    """White area, its middle (x, y), and the covariance about it, of each image."""
    white = images[..., 0] / 255.0  # (N, H, W)
    area = white.sum(axis=(1, 2))
    places = np.arange(SIZE) + 0.5
    x = (white * places).sum(axis=(1, 2)) / area
    y = (white * places[:, None]).sum(axis=(1, 2)) / area
    dx, dy = places - x[:, None, None], places[:, None] - y[:, None, None]
    xx, xy, yy = (
        (white * product).sum(axis=(1, 2)) / area for product in (dx**2, dx * dy, dy**2)
    )
    return area, np.stack([x, y], axis=1), np.array([[xx, xy], [xy, yy]])


def test_every_combination_is_there_once_and_no_two_images_are_alike(source):
    splits = (source.train, source.validation, source.test)
    assert [len(split) for split in splits] == [14_552, 1000, 5184]
    factors = np.concatenate([split.factors for split in splits])
    every = np.ravel_multi_index(tuple(factors.T), SIZES)
    np.testing.assert_array_equal(np.sort(every), np.arange(np.prod(SIZES)))
    pictures = {image.tobytes() for split in splits for image in split.images}
    assert len(pictures) == np.prod(SIZES)


def test_factors_stay_beside_their_images(source):
    assert source.factor_names == ("shape", "scale", "rotation", "x", "y")
    assert source.class_names == ("square", "ellipse", "heart")
    assert source.factors is source.test.factors and source.image_shape == (32, 32, 1)
    for split in (source.train, source.validation, source.test):
        some = split.take(slice(0, 300, 7))
        np.testing.assert_array_equal(render(some.factors), some.images)
        np.testing.assert_array_equal(split.labels, split.factors[:, SHAPE])
    assert load("digits").factors is None


@pytest.mark.parametrize("number", [5184, 500])
def test_splits_hold_every_value_about_evenly(source, number):
    """Drawn at random, and so are the first of them: within six standard errors."""
    for k, size in enumerate(SIZES):
        share = np.bincount(source.factors[:number, k], minlength=size) / number
        error = np.sqrt(1 / size * (1 - 1 / size) / number)
        assert abs(share - 1 / size).max() < 6 * error


def test_areas_are_those_of_the_shapes(source):
    """To 5 percent: of the smallest square, a side may have 40 sub-pixels, not 39."""
    factors = source.factors
    radius = RADIUS * (0.5 + 0.1 * factors[:, SCALE])
    area, _, _ = moments(source.test.images)
    for shape, unit in ((0, 1.4**2), (1, np.pi / 2)):
        rows = factors[:, SHAPE] == shape
        np.testing.assert_allclose(area[rows], unit * radius[rows] ** 2, rtol=0.05)
    rows = factors[:, SHAPE] == 2
    unit = area[rows] / radius[rows] ** 2
    np.testing.assert_allclose(unit, unit.mean(), rtol=0.03)


def test_places_are_even_from_left_to_right_and_from_top_to_bottom(source):
    rows = source.factors[:, SHAPE] < 2  # their centroid is their middle
    _, middle, _ = moments(source.test.images[rows])
    expected = 7.75 + 1.5 * source.factors[rows][:, [X, Y]]
    np.testing.assert_allclose(middle, expected, atol=0.03)
    borders = source.test.images[:, [0, -1]], source.test.images[:, :, [0, -1]]
    assert max(border.max() for border in borders) < 64  # nothing is cut


def test_rotations_are_counterclockwise_within_a_right_angle(source):
    """The ellipse's long axis, by its covariance; the y axis points down."""
    rows = source.factors[:, SHAPE] == 1
    _, _, covariance = moments(source.test.images[rows])
    (xx, xy), (_, yy) = covariance
    angle = np.arctan2(-2 * xy, xx - yy) / 2 % np.pi
    expected = np.pi / 2 * source.factors[rows][:, ROTATION] / 8
    difference = (angle - expected + np.pi / 2) % np.pi - np.pi / 2
    assert abs(difference).max() < 0.03


def test_edges_are_smooth_and_the_rest_black_or_white(source):
    grey = (source.test.images > 0) & (source.test.images < 255)
    assert 0.01 < grey.mean() < 0.05
    assert len(np.unique(source.test.images)) > 50
