"""Scores of disentanglement that keep one factor fixed and let the others vary.

The images of such a batch are drawn from those that are there already, which is the
same where factors are independent. Settings are those of Locatello et al. (2019).
"""

import numpy as np

from keras_vae.metrics.factors import checked

TRAINING, TESTING = 10_000, 5_000  # batches that a factor is told from
BATCH = 64  # images, or pairs, of a batch


def factor_vae_score(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0) -> float:
    """Whether the latent that varies least tells which factor was kept fixed.

    A factor is chosen, 64 images are drawn that share its value, and the latent whose
    variance is the smallest part of its variance over all images votes for it. Each
    latent is given the factor that it voted for most often in 10,000 draws; the score
    is the share of 5,000 more in which that is right (Kim & Mnih 2018, section 4.2).
    Images are drawn from those given; latents that do not vary take no part.

    Args:
        codes: float (N, D).
        factors: int (N, F), independent of each other.
        seed: int >= 0, of the draws.

    Returns:
        float from 0 to 1, about 1/F for codes that tell nothing; 0 if no latent varies.

    Raises:
        DataError: As `factors.checked`.

    Example:
        >>> factors = np.arange(64)[:, None] // np.array([8, 1]) % 8
        >>> factor_vae_score(factors, factors)
        1.0
    """
    codes, factors = checked(codes, factors)
    codes = _scaled(codes)
    if not codes.shape[1]:
        return 0.0
    generator = np.random.default_rng(seed)
    votes = []
    for number in (TRAINING, TESTING):
        counts = np.zeros((factors.shape[1], codes.shape[1]), np.int64)  # (F, D)
        for k, times in enumerate(_chosen(number, factors, generator)):
            first = generator.integers(len(codes), size=(times, 1))
            rows = sharing(factors[:, k], np.repeat(first, BATCH, axis=1), generator)
            least = codes[rows].var(axis=1, ddof=1).argmin(axis=1)
            counts[k] = np.bincount(least, minlength=codes.shape[1])
        votes.append(counts)
    rule = votes[0].argmax(axis=0)  # (D,), the factor of each latent
    return float(votes[1][rule, np.arange(len(rule))].sum() / TESTING)


def beta_vae_score(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0) -> float:
    """Whether a linear classifier tells which factor pairs of images have in common.

    A factor is chosen, and 64 pairs of images that share its value; the mean |z - z'|
    over the pairs is what logistic regression tells the factor from, fitted to 10,000
    such means. The score is its accuracy on 5,000 more (Higgins et al. 2017, section
    3). Images are drawn from those given; latents are divided by their standard
    deviation, so that their scale does not count.

    Args:
        codes: float (N, D).
        factors: int (N, F), independent of each other.
        seed: int >= 0, of the draws.

    Returns:
        float from 0 to 1, about 1/F for codes that tell nothing; 0 if no latent varies.

    Raises:
        DataError: As `factors.checked`.

    Example:
        >>> factors = np.arange(64)[:, None] // np.array([8, 1]) % 8
        >>> beta_vae_score(factors, factors)
        1.0
    """
    from sklearn.linear_model import LogisticRegression

    codes, factors = checked(codes, factors)
    codes = _scaled(codes)
    if not codes.shape[1]:
        return 0.0
    generator = np.random.default_rng(seed)
    sets = []
    for number in (TRAINING, TESTING):
        differences, which = [], []
        for k, times in enumerate(_chosen(number, factors, generator)):
            rows = generator.integers(len(codes), size=(times, BATCH))
            others = sharing(factors[:, k], rows, generator)
            differences.append(abs(codes[rows] - codes[others]).mean(axis=1))
            which += [k] * times
        sets.append((np.concatenate(differences), np.array(which)))
    if factors.shape[1] == 1:
        return 1.0  # there is nothing to tell
    model = LogisticRegression(max_iter=1000).fit(*sets[0])
    return float(model.score(*sets[1]))


def sharing(
    values: np.ndarray, rows: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """For each image another one, drawn from those with the same value of a factor.

    Where factors are independent, all others vary freely: the interventions of Higgins
    et al. (2017) and of Kim & Mnih (2018), on images that are there already.

    Args:
        values: int (N,), a factor.
        rows: int, numbers of images, of any shape.
        generator: Source of the draws, with replacement.

    Returns:
        int64, the shape of `rows`.

    Example:
        >>> values = np.array([0, 0, 1, 1, 1])
        >>> values[sharing(values, np.array([[1, 4]]), np.random.default_rng(0))]
        array([[0, 1]])
    """
    order = np.argsort(values, kind="stable")
    low, high = (
        np.searchsorted(values[order], values[rows], side=side)
        for side in ("left", "right")
    )
    return order[low + (generator.random(rows.shape) * (high - low)).astype(np.int64)]


def _scaled(codes):
    """Codes in standard deviations, without those that do not vary."""
    spread = codes.std(axis=0, ddof=1) if len(codes) > 1 else np.zeros(codes.shape[1])
    return codes[:, spread > 0] / spread[spread > 0]


def _chosen(number, factors, generator):
    """How often each factor is chosen of so many times, (F,)."""
    num_factors = factors.shape[1]
    return generator.multinomial(number, [1 / num_factors] * num_factors)
