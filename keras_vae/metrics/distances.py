"""Distances between two sets of images, by their features.

The Frechet distance compares means and covariances, and is biased by the number of
images; the kernel distance compares all moments up to the third, without bias. Which
features they are of decides what they see: numbers of other features, such as those of
Inception in papers, are not comparable.
"""

import math

import numpy as np

from keras_vae.errors import DataError

MAX_VALUES = 2**22  # of a kernel matrix at a time: bounds the memory


def check_features(images: np.ndarray, reference: np.ndarray, least: int) -> None:
    """Refuses two sets of features that cannot be compared.

    Args:
        images: float (M, F).
        reference: float (N, F).
        least: int, the number of rows that each must have.

    Raises:
        DataError: If there are fewer, other shapes, or values that are not finite.
    """
    for features in (images, reference):
        if features.ndim != 2 or features.shape[1] != reference.shape[-1]:
            raise DataError(
                "Features must be two arrays (M, F) and (N, F); got "
                f"{images.shape} and {reference.shape}."
            )
        if len(features) < least:
            raise DataError(
                f"Sets of images are compared from {least} images on; got "
                f"{len(features)}, so take more."
            )
        if not np.isfinite(features).all():
            raise DataError("Features must be finite; got NaN or infinity.")


def frechet_distance(images: np.ndarray, reference: np.ndarray) -> float:
    """The squared Frechet distance between Gaussians with two sets' moments.

    |m - n|^2 + Tr(S + T - 2 (S T)^(1/2)) (Dowson & Landau 1982), of features, as Heusel
    et al. (2017) take it; covariances with the divisor N - 1. Where S = A'A and T =
    B'B, the trace of the root is the sum of the singular values of A B', so that no
    root of a matrix is taken, and few images (singular covariances) lose no precision.

    Args:
        images: float (M, F), M >= 2.
        reference: float (N, F), N >= 2.

    Returns:
        float >= 0, in squared units of the features. Its expectation falls as M and N
        grow: compare only numbers of as many images.

    Raises:
        DataError: As `check_features`.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(1000, 8))
        >>> round(frechet_distance(z + 1, z), 6)  # 8 means, each 1 apart
        8.0
    """
    check_features(images, reference, least=2)
    means, factors = [], []
    for features in (images, reference):
        features = np.asarray(features, np.float64)
        mean = features.mean(axis=0)
        centered = (features - mean) / math.sqrt(len(features) - 1)
        means.append(mean)
        factors.append(np.linalg.qr(centered, mode="r"))  # covariance: factor' factor
    a, b = factors
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    distance = np.square(means[0] - means[1]).sum() + np.square(a).sum()
    return float(max(0.0, distance + np.square(b).sum() - 2 * root))


def kernel_distance(images: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """The squared maximum mean discrepancy with a cubic kernel, and its error.

    E k(x, x') + E k(y, y') - 2 E k(x, y), k(x, y) = (x'y / F + 1)^3, as Binkowski et
    al. (2018) take it (KID, there of Inception's features), here over all pairs of
    different images at once (Gretton et al. 2012, equation 3) instead of over
    subsets. So it has no bias, for independent images, and may fall below 0.

    The error is the square root of the variance of that U-statistic, by its Hoeffding
    decomposition, estimated from the same pairs: terms of a single image and of pairs,
    which alone are left where both sets are of one distribution. There it comes out
    larger than the truth, by an eighth or so.

    Args:
        images: float (M, F), M >= 2.
        reference: float (N, F), N >= 2.

    Returns:
        The estimate, and its standard error (that of another draw of both sets).

    Raises:
        DataError: As `check_features`.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(2, 500, 8))
        >>> distance, error = kernel_distance(z[0] + 1, z[1])
        >>> distance > 10 * error
        True
    """
    check_features(images, reference, least=2)
    x, y = np.asarray(images, np.float64), np.asarray(reference, np.float64)
    m, n = len(x), len(y)
    within_x, square_xx = _within(x)
    within_y, square_yy = _within(y)
    across_x, across_y, square_xy = _across(x, y)
    value = within_x.mean() + within_y.mean() - 2 * across_x.mean()
    # the part of k that is a function of neither image alone, and the other part, each
    # of whose means holds the noise of the pairs that it is a mean of
    pairs_x = _of_pairs(square_xx, within_x, within_x)
    pairs_y = _of_pairs(square_yy, within_y, within_y)
    pairs_xy = _of_pairs(square_xy, across_x, across_y)
    single_x = (within_x - across_x).var(ddof=1) - pairs_x / m - pairs_xy / n
    single_y = (within_y - across_y).var(ddof=1) - pairs_y / n - pairs_xy / m
    variance = max(0.0, 4 * single_x / m + 4 * single_y / n)
    variance += 2 * pairs_x / m**2 + 2 * pairs_y / n**2 + 4 * pairs_xy / (m * n)
    return float(value), math.sqrt(variance)


def _of_pairs(square, rows, columns):
    """The variance of k - E_x k - E_y k + E k, from k's means by row and by column."""
    variance = square - np.square(rows).mean() - np.square(columns).mean()
    return max(0.0, variance + rows.mean() ** 2)


def _kernel(x, y):
    k = x @ y.T / x.shape[1] + 1
    return k * k * k


def _within(x):
    """The mean of k over the others of a set, (N,), and of its square over pairs."""
    number = len(x)
    sums, squares = np.empty(number), 0.0
    for rows in pieces(number, number):
        k = _kernel(x[rows], x)
        k[np.arange(len(k)), np.arange(number)[rows]] = 0.0
        sums[rows] = k.sum(axis=1)
        squares += np.square(k).sum()
    return sums / (number - 1), squares / (number * (number - 1))


def _across(x, y):
    """The means of k over the other set, (M,) and (N,), and of its square."""
    of_x, of_y, squares = np.empty(len(x)), np.zeros(len(y)), 0.0
    for rows in pieces(len(x), len(y)):
        k = _kernel(x[rows], y)
        of_x[rows] = k.mean(axis=1)
        of_y += k.sum(axis=0)
        squares += np.square(k).sum()
    return of_x, of_y / len(x), squares / (len(x) * len(y))


def pieces(rows: int, columns: int) -> list[slice]:
    """Slices of the rows of a matrix, each of at most `MAX_VALUES` numbers.

    Example:
        >>> pieces(3, 2**21)
        [slice(0, 2, None), slice(2, 3, None)]
    """
    step = max(1, MAX_VALUES // columns)
    return [slice(k, min(k + step, rows)) for k in range(0, rows, step)]
