"""Scores of disentanglement: does each latent stand for one known factor?

Each takes codes, where images are encoded, and the factors that the images were made
from, and lies between 0 and 1, higher being better. Where a score has settings, they
are those of Locatello et al. (2019), "Challenging common assumptions in the
unsupervised learning of disentangled representations", whose library most published
numbers come from.
"""

from collections.abc import Sequence

import numpy as np

from keras_vae.errors import DataError
from keras_vae.metrics.factors import (
    BINS,
    checked,
    entropy,
    latent_names,
    mutual_information,
)
from keras_vae.metrics.interventions import (
    BATCH,
    TESTING,
    TRAINING,
    beta_vae_score,
    factor_vae_score,
)


def mig(codes: np.ndarray, factors: np.ndarray) -> float:
    """Mutual information gap: how far the best latent of a factor is before the next.

    1/F sum_k (I(z_a; v_k) - I(z_b; v_k)) / H(v_k), where z_a and z_b are the latents
    that tell most of factor k (Chen et al. 2018, eq. 6); see `mutual_information`. One
    latent alone is before one that tells nothing.

    Args:
        codes: float (N, D).
        factors: int (N, F).

    Returns:
        float from 0 to 1.

    Raises:
        DataError: As `factors.checked`.

    Example:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> mig(factors, factors), mig(factors[:, [0, 0, 1]], factors)
        (1.0, 0.5)
    """
    return float(np.mean(_gap(mutual_information(codes, factors)) / entropy(factors)))


def sap(
    codes: np.ndarray, factors: np.ndarray, *, continuous: bool = False, seed: int = 0
) -> float:
    """Separated attribute predictability: the gap between the two best predictors.

    The mean over factors of the difference between the two latents from which, alone,
    a factor is told best (Kumar et al. 2018, section 3). How well is the accuracy of a
    linear classifier, a balanced support vector machine with C = 0.01, that is fitted
    to one half of the images and tested on the other. It tells few of a factor's many
    values apart, so that the score of a perfect code is below 1: 0.5 of two values.
    Continuous factors are told by linear regression on all images, whose R^2 counts.

    Args:
        codes: float (N, D).
        factors: int (N, F).
        continuous: Whether the factors are quantities rather than classes.
        seed: int >= 0, which images are in which half.

    Returns:
        float from 0 to 1.

    Raises:
        DataError: As `factors.checked`, or if a factor has one value in a half.

    Example:
        >>> factors = np.arange(64)[:, None] // np.array([8, 1]) % 8
        >>> sap(factors, factors, continuous=True)
        1.0
    """
    if continuous:
        codes, factors = checked(codes, factors)
        return float(_gap(_determination(codes, factors)).mean())
    from sklearn.svm import LinearSVC

    train, test = halves(codes, factors, seed)
    accuracy = np.zeros((train[0].shape[1], train[1].shape[1]))  # (D, F)
    for j, k in np.ndindex(accuracy.shape):
        model = LinearSVC(C=0.01, class_weight="balanced", random_state=seed)
        model.fit(train[0][:, [j]], train[1][:, k])
        accuracy[j, k] = model.score(test[0][:, [j]], test[1][:, k])
    return float(_gap(accuracy).mean())


def dci(codes: np.ndarray, factors: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """Disentanglement, completeness and informativeness (Eastwood & Williams 2018).

    Gradient-boosted trees tell each factor from all latents; R (D, F) is how important
    each latent is to them. disentanglement = sum_j w_j (1 - H_F(R_j)), completeness =
    sum_k w_k (1 - H_D(R_k)) with the entropy of a normalized row or column to base F or
    D, and weights by its share in R; informativeness is the mean accuracy. Fitted to
    one half of the images and tested on the other. It takes seconds to a minute.

    Args:
        codes: float (N, D).
        factors: int (N, F).
        seed: int >= 0, for the halves and the trees.

    Returns:
        dict from `disentanglement` (a latent tells of one factor), `completeness` (a
        factor is told by one latent) and `informativeness` to floats from 0 to 1.

    Raises:
        DataError: As `factors.checked`, or if a factor has one value in a half.

    Example:
        >>> factors = np.arange(64)[:, None] // np.array([2, 1]) % 2
        >>> dci(factors, factors)
        {'disentanglement': 1.0, 'completeness': 1.0, 'informativeness': 1.0}
    """
    from sklearn.ensemble import GradientBoostingClassifier

    train, test = halves(codes, factors, seed)
    random_state = np.random.RandomState(seed)  # what scikit-learn knows
    importance, accuracy = [], []
    for k in range(train[1].shape[1]):
        model = GradientBoostingClassifier(random_state=random_state)
        model.fit(train[0], train[1][:, k])
        importance.append(model.feature_importances_)
        accuracy.append(model.score(test[0], test[1][:, k]))
    return {
        **concentration(np.stack(importance, axis=1)),
        "informativeness": float(np.mean(accuracy)),
    }


def concentration(importance: np.ndarray) -> dict[str, float]:
    """Disentanglement and completeness of a matrix of importances; see `dci`.

    Args:
        importance: float (D, F), at least 0.

    Returns:
        dict with `disentanglement` and `completeness`; 0 where nothing is important.

    Example:
        >>> concentration(np.array([[1.0, 0.0], [0.0, 0.5], [0.0, 0.5]]))
        {'disentanglement': 1.0, 'completeness': 0.68...}
    """
    total = importance.sum()
    names = {"disentanglement": importance, "completeness": importance.T}
    scores = {}
    for name, rows in names.items():
        sums = rows.sum(axis=1, keepdims=True)
        shares = np.divide(rows, sums, out=np.ones_like(rows), where=sums > 0)
        logs = np.log(shares, out=np.zeros_like(rows), where=shares > 0)
        most = np.log(rows.shape[1]) or 1.0  # of one there is nothing to choose
        each = 1 + (shares * logs).sum(axis=1) / most
        scores[name] = float((each * sums[:, 0]).sum() / total) if total > 0 else 0.0
    return scores


def halves(codes: np.ndarray, factors: np.ndarray, seed: int) -> tuple[tuple, tuple]:
    """Divides images into those that a predictor is fitted to, and tested on.

    Args:
        codes: float (N, D).
        factors: int (N, F).
        seed: int >= 0.

    Returns:
        Codes and factors of each half, drawn at random.

    Raises:
        DataError: As `factors.checked`, or if a factor has one value in the first half.
    """
    codes, factors = checked(codes, factors)
    keys = np.random.PCG64(seed).random_raw(len(codes))  # never changes (NEP 19)
    order = np.argsort(keys)
    parts = order[: (len(order) + 1) // 2], order[(len(order) + 1) // 2 :]
    first = factors[parts[0]]
    if (first == first[0]).all(axis=0).any() or not len(parts[1]):
        raise DataError(
            f"{len(codes)} images are too few: in half of them a factor has one value; "
            "give more."
        )
    return tuple((codes[rows], factors[rows]) for rows in parts)  # pyright: ignore


def report(
    codes: np.ndarray,
    factors: np.ndarray,
    factor_names: Sequence[str],
    *,
    seed: int = 0,
) -> dict:
    """All scores, under the names of metrics.json.

    Args:
        codes: float (N, D).
        factors: int (N, F).
        factor_names: F texts.
        seed: int >= 0, of halves, trees and draws.

    Returns:
        dict of JSON values: the scores, the settings, `mutual_information` in nats
        (D, F), and `latent_names`, what each latent moves or None.

    Raises:
        DataError: As `factors.checked`, or if there are too few images.

    Example:
        >>> factors = np.arange(64)[:, None] // np.array([8, 1]) % 8
        >>> report(factors, factors, ["x", "y"])["latent_names"]
        ['x', 'y']
    """
    return {
        "mig": mig(codes, factors),
        "sap": sap(codes, factors, seed=seed),
        "dci": dci(codes, factors, seed=seed),
        "factor_vae": factor_vae_score(codes, factors, seed=seed),
        "beta_vae": beta_vae_score(codes, factors, seed=seed),
        "num_images": len(codes),
        "num_bins": BINS,
        "batches": [TRAINING, TESTING],
        "batch_size": BATCH,
        "seed": seed,
        "factor_names": list(factor_names),
        "mutual_information": mutual_information(codes, factors).tolist(),
        "latent_names": latent_names(codes, factors, factor_names),
    }


def sentence(found: dict) -> str:
    """What `report` found, to be read.

    Example:
        >>> factors = np.arange(64)[:, None] // np.array([8, 1]) % 8
        >>> sentence(report(factors, factors, ["x", "y"])).split("; ")[-1]
        'z0 moves x, z1 moves y'
    """
    scores = {name: found[name] for name in ("mig", "sap", "factor_vae", "beta_vae")}
    scores |= {f"dci {name}": score for name, score in found["dci"].items()}
    text = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    names = enumerate(found["latent_names"])
    moves = ", ".join(f"z{j} moves {name}" for j, name in names if name is not None)
    moves = moves or "no latent moves one factor alone"
    return f"disentanglement ({found['num_images']} images): {text}; {moves}"


def _gap(scores):
    """The largest score of each factor less the second, (F,); scores (D, F)."""
    second, first = np.sort(np.pad(scores, ((1, 0), (0, 0))), axis=0)[-2:]
    return first - second


def _determination(codes, factors):
    """R^2 of the line from each latent to each factor, (D, F); 0 for a constant."""
    centered = codes - codes.mean(axis=0), factors - factors.mean(axis=0)
    squares = [(values**2).sum(axis=0) for values in centered]
    product = (centered[0].T @ centered[1]) ** 2
    scale = np.outer(*squares)
    return np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)
