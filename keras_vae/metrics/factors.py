"""What each latent tells of each factor that images were made from.

A code is where an image is encoded, the mean of q(z|x); a factor is a class number for
each image: which shape, which position. Nothing here knows a model.
"""

from collections.abc import Sequence

import numpy as np

from keras_vae.errors import DataError

BINS = 20  # of equal width, for each latent: Locatello et al. (2019), appendix B
# A latent moves the factor of which it tells most: that share of its entropy at least,
# and so many times the share of any other factor.
LEAST, CLEAR = 0.2, 2.0


def checked(codes: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Refuses what no score of disentanglement can be computed of.

    Args:
        codes: float (N, D), finite.
        factors: int (N, F), of each at least two values.

    Returns:
        float64 (N, D), and int64 (N, F).

    Raises:
        DataError: If they are something else.
    """
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors)
    shapes = codes.shape, factors.shape
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors):
        raise DataError(
            "Expected codes (N, D) and factors (N, F) of the same N images; got "
            f"{shapes[0]} and {shapes[1]}."
        )
    if 0 in codes.shape or factors.dtype.kind not in "iu":
        raise DataError(
            "Expected whole numbers as factors, and at least one image and latent; got "
            f"{factors.dtype} {shapes[1]} and codes {shapes[0]}."
        )
    if not np.isfinite(codes).all():
        raise DataError("A code is NaN or infinite; scores need finite codes.")
    same = (factors == factors[:1]).all(axis=0)  # (F,)
    if same.any() or not len(same):
        raise DataError(
            f"Factor {int(same.argmax()) if len(same) else 0} has one value in all "
            f"{len(factors)} images; expected factors that vary, so give more images."
        )
    return codes, factors.astype(np.int64)


def mutual_information(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Mutual information of every latent with every factor, in nats.

    I(z_j; v_k) = sum p(z_j, v_k) log(p(z_j, v_k) / (p(z_j) p(v_k))) with the
    frequencies in the images as probabilities, each latent in 20 bins of equal width
    from its least to its largest value (Locatello et al. 2019, appendix B). It is too
    high by about (bins - 1)(values - 1) / 2N.

    Args:
        codes: float (N, D).
        factors: int (N, F).

    Returns:
        float64 (D, F), from 0 to the factor's entropy.

    Raises:
        DataError: As `checked`.

    Example:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> mutual_information(factors[:, ::-1] / 10, factors).round(4)
        array([[0.    , 0.6931],
               [0.6931, 0.    ]])
    """
    codes, factors = checked(codes, factors)
    bins = [np.digitize(z, np.histogram(z, BINS)[1][1:-1]) for z in codes.T]
    values = _values(factors)
    return np.array([[_information(b, v) for v in values] for b in bins])


def entropy(factors: np.ndarray) -> np.ndarray:
    """Entropy of each factor in the images, in nats.

    Args:
        factors: int (N, F).

    Returns:
        float64 (F,): log V for V values that are equally frequent.

    Example:
        >>> entropy(np.array([[0, 0], [1, 0], [2, 0], [3, 1]])).round(4)
        array([1.3863, 0.5623])
    """
    return np.array([_information(v, v) for v in _values(factors)])


def latent_names(
    codes: np.ndarray, factors: np.ndarray, factor_names: Sequence[str]
) -> list[str | None]:
    """What to call each latent: the factor that it moves, where that is clear.

    Of the factor it tells most of, as a share of that factor's entropy: at least 0.2,
    and twice as much as of any other. Two latents can move one factor.

    Args:
        codes: float (N, D).
        factors: int (N, F).
        factor_names: F texts.

    Returns:
        D texts, None for a latent that moves none, or several.

    Raises:
        DataError: As `checked`.

    Example:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> codes = np.stack([factors[:, 1], factors.sum(axis=1)], axis=1)
        >>> latent_names(codes, factors, ["shape", "x"])
        ['x', None]
    """
    shares = mutual_information(codes, factors) / entropy(factors)  # (D, F)
    others = np.sort(shares, axis=1)[:, :-1].max(axis=1, initial=0)  # (D,)
    most = shares.max(axis=1)
    clear = (most >= LEAST) & (most >= CLEAR * others)
    best = zip(shares.argmax(axis=1), clear, strict=True)
    return [str(factor_names[int(k)]) if is_clear else None for k, is_clear in best]


def _values(factors):
    """Each factor's values, numbered from 0 without gaps; F arrays (N,)."""
    return [np.unique(column, return_inverse=True)[1] for column in factors.T]


def _information(one, other):
    """Mutual information, in nats, of two arrays of small whole numbers (N,)."""
    counts = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(counts, (one, other), 1)
    joint = counts / len(one)
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / product[there])).sum())
