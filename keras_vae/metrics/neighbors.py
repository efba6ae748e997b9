"""Precision, recall, density and coverage: two sets of images by their neighborhoods.

A set's manifold is thought of as balls around its images in the space of the features,
each as wide as the distance to its k-th nearest neighbor in the set.
"""

import numpy as np

from keras_vae.metrics.distances import check_features, pieces

MANIFOLD = 3  # k of precision and recall (Kynkaanniemi et al. 2019, section 3)
DENSITY = 5  # k of density and coverage (Naeem et al. 2020, section 4)
ROUNDING = 1e-12  # of a squared distance, as a share of the largest squared norm


def neighborhoods(images: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """How well images lie among those of a reference, and cover them.

    Precision is the share of the images that lie in a ball of the reference; recall the
    share of the reference that lies in a ball of the images, both with k = 3
    (Kynkaanniemi et al. 2019, equations 1 and 2). Density is the number of balls of the
    reference that an image lies in, divided by k; coverage the share of the balls of
    the reference that hold an image, both with k = 5 (Naeem et al. 2020, equations 6
    and 7). Distances are Euclidean, balls closed.

    Args:
        images: float (M, F), M >= 6.
        reference: float (N, F), N >= 6.

    Returns:
        `precision`, `recall` and `coverage` in [0, 1], and `density` >= 0; of images of
        the reference's own distribution density is 1 in expectation.

    Raises:
        DataError: If there are fewer images, or as `check_features`.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(100, 8))
        >>> neighborhoods(z, z)  # each in its own ball and in those of 5 neighbors
        {'precision': 1.0, 'recall': 1.0, 'density': 1.2, 'coverage': 1.0}
    """
    check_features(images, reference, least=DENSITY + 1)
    center = np.mean(reference, axis=0, dtype=np.float64)  # small norms round less
    y, x = images - center, reference - center
    slack = ROUNDING * max(np.square(y).sum(1).max(), np.square(x).sum(1).max())
    around_x, wide_x = _radii(x, (MANIFOLD, DENSITY)) + slack  # (N,) each
    (around_y,) = _radii(y, (MANIFOLD,)) + slack  # (M,)
    precise, density = np.empty(len(y), bool), 0
    recalled, covered = np.zeros(len(x), bool), np.zeros(len(x), bool)
    for rows in pieces(len(y), len(x)):
        distances = _squared_distances(y[rows], x)
        precise[rows] = (distances <= around_x).any(axis=1)
        recalled |= (distances <= around_y[rows, None]).any(axis=0)
        inside = distances <= wide_x
        density += int(inside.sum())
        covered |= inside.any(axis=0)
    return {
        "precision": float(precise.mean()),
        "recall": float(recalled.mean()),
        "density": density / (DENSITY * len(y)),
        "coverage": float(covered.mean()),
    }


def _radii(x, ks):
    """Squared distances to the k-th nearest other image, for each k, (K, N)."""
    radii = np.empty((len(ks), len(x)))
    for rows in pieces(len(x), len(x)):
        distances = _squared_distances(x[rows], x)
        distances[np.arange(len(distances)), np.arange(len(x))[rows]] = np.inf
        places = [k - 1 for k in ks]
        radii[:, rows] = np.partition(distances, places, axis=1)[:, places].T
    return radii


def _squared_distances(x, y):
    """|x - y|^2, (M, N), by the binomial formula: rounded as `ROUNDING` says."""
    return np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * (x @ y.T)
