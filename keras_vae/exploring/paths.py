"""Ways through the latent space: paths, traversals, grids and directions, in NumPy.

What comes out is decoded with `VAE.decode`, or by an exported decoder.
"""

import statistics

import numpy as np

from keras_vae.errors import UsageError, whole_number

PARALLEL = 1e-14  # below this length, what remains of a direction is rounding


def linear_path(start: np.ndarray, end: np.ndarray, num: int) -> np.ndarray:
    """Points on the straight line between two latents, evenly spaced.

    In many dimensions its middle is nearer to the origin than draws of the prior are.

    Args:
        start: float (D,).
        end: float (D,).
        num: int >= 2, points with both ends.

    Returns:
        float64 (num, D).

    Example:
        >>> linear_path(np.zeros(2), np.ones(2), 3).tolist()
        [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]
    """
    t = np.linspace(0, 1, whole_number("num", num, minimum=2))[:, None]
    return (1 - t) * np.asarray(start, np.float64) + t * np.asarray(end, np.float64)


def spherical_path(start: np.ndarray, end: np.ndarray, num: int) -> np.ndarray:
    """Points on the great circle between two latents, at evenly spaced angles.

    Shoemake (1985), "Animating rotation with quaternion curves":
    (sin((1 - t) a) start + sin(t a) end) / sin(a) for unit vectors at an angle a; White
    (2016), "Sampling generative networks", proposes it for Gaussian priors, whose draws
    in many dimensions lie near a sphere. Lengths that differ are interpolated linearly.
    It is computed from an orthonormal pair, cos(t a) u + sin(t a) v, which holds at
    every angle: between opposite vectors, where every great circle is as short, v
    leans to the coordinate axis farthest from them. A zero vector has no angle, and in
    one dimension there is no circle: there the path is linear.

    Args:
        start: float (D,).
        end: float (D,).
        num: int >= 2, points with both ends.

    Returns:
        float64 (num, D).

    Example:
        >>> spherical_path(np.array([1, 0]), np.array([0, 1]), 3)[1].round(3).tolist()
        [0.707, 0.707]
    """
    line = linear_path(start, end, num)
    lengths = np.linalg.norm(line[[0, -1]], axis=1)
    if not lengths.all() or line.shape[1] == 1:
        return line
    unit, other = line[[0, -1]] / lengths[:, None]
    # accurate where arccos of the scalar product is not: near 0 and near pi
    angle = 2 * np.arctan2(np.linalg.norm(unit - other), np.linalg.norm(unit + other))
    across = other - (other @ unit) * unit
    if np.linalg.norm(across) < PARALLEL:
        across = np.eye(len(unit))[np.abs(unit).argmin()]
    for _ in range(2):  # the second time removes what rounding left along `unit`
        across = across - (across @ unit) * unit
        across /= np.linalg.norm(across)
    t = np.linspace(0, 1, num)[:, None]
    directions = np.cos(t * angle) * unit + np.sin(t * angle) * across
    return directions * ((1 - t) * lengths[0] + t * lengths[1])


def traversal(z: np.ndarray, dimensions, values) -> np.ndarray:
    """Copies of one latent vector, in each row of which one dimension is varied.

    Args:
        z: float (D,), where to start.
        dimensions: int (R,), one a row.
        values: float (V,), or (R, V) where each row has its own.

    Returns:
        float (R, V, D).

    Example:
        >>> traversal(np.zeros(3), [2, 0], [-1.0, 1.0])[0].tolist()
        [[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]
    """
    values = np.broadcast_to(values, (len(dimensions), np.shape(values)[-1]))
    grid = np.tile(np.asarray(z, np.float64), (*values.shape, 1))  # (R, V, D)
    for row, dimension in enumerate(dimensions):
        grid[row, :, dimension] = values[row]
    return grid


def normal_quantiles(num: int) -> np.ndarray:
    """Standard normal quantiles at the midpoints of equally likely bins.

    Args:
        num: int >= 1, bins.

    Returns:
        float64 (num,), ascending.
    """
    inverse = statistics.NormalDist().inv_cdf
    num = whole_number("num", num)
    return np.array([inverse((k + 0.5) / num) for k in range(num)])


def quantile_grid(num: int) -> np.ndarray:
    """A square grid over two latents, as dense everywhere as their prior.

    Kingma & Welling (2014), appendix A, figure 4: evenly spaced coordinates on the unit
    square, through the inverse cumulative distribution of the standard normal.

    Args:
        num: int >= 1, rows and columns.

    Returns:
        float64 (num, num, 2): latent 0 grows to the right, latent 1 upwards, so that
        row 0 is at the top.
    """
    quantiles = normal_quantiles(num)
    return np.stack(np.meshgrid(quantiles, quantiles[::-1]), axis=-1)


def class_direction(
    mean: np.ndarray, labels: np.ndarray, from_class: int, to_class: int
) -> np.ndarray:
    """The way from one class to another: the difference of their mean latents.

    Larsen et al. (2016), section 4.2, and White (2016) call it an attribute vector.

    Args:
        mean: float (N, D), the posterior mean of each image.
        labels: int (N,).
        from_class: int.
        to_class: int.

    Returns:
        float (D,); added to the latent of an image of one class, it makes it an image
        of the other.

    Raises:
        UsageError: If a class has no image.
    """
    for name in (from_class, to_class):
        if not (labels == name).any():
            raise UsageError(
                f"No image has class {name}; there are "
                f"{', '.join(map(str, np.unique(labels)))}."
            )
    return mean[labels == to_class].mean(axis=0) - mean[labels == from_class].mean(
        axis=0
    )


def principal_components(points: np.ndarray, num: int = 2):
    """The flat view in which points differ most.

    Args:
        points: float (N, D).
        num: int, from 1 to min(N, D).

    Returns:
        The points in that view, float (N, num), centered, and the share of the variance
        along each of its axes, float (num,), descending. The sign of an axis is that of
        its largest entry.
    """
    centered = points - points.mean(axis=0)
    _, scale, axes = np.linalg.svd(centered, full_matrices=False)
    axes = axes[:num]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    variance = scale**2
    share = variance[:num] / max(variance.sum(), np.finfo(np.float64).tiny)
    return centered @ (axes * np.where(largest < 0, -1.0, 1.0)).T, share


PATHS = {
    "linear": linear_path,
    "spherical": spherical_path,
}
