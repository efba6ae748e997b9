"""Which images train, validate and test: splits that never mix."""

from typing import Any

import numpy as np

from keras_vae.data.splits import ArraySplit
from keras_vae.data.stored_split import StoredSplit
from keras_vae.errors import DataError, UsageError

Stored = ArraySplit | StoredSplit
Parts = tuple[Stored, Stored | None, Stored]  # train, validation, test


def divide(
    splits: dict[str, Any],
    seed: int,
    validation_images: int | None,
    name: str,
) -> Parts:
    """Carves the splits that a source lacks out of its training images.

    Takes the training images out of `splits`: the whole is not kept beside its parts.

    Args:
        splits: Of the source, by name, with at least `"train"`.
        seed: Decides which images are held out, >= 0.
        validation_images: Size of the validation split; see `sources.load`.
        name: Of the source, for errors.

    Returns:
        The training images, the validation images or None, and the test images.

    Raises:
        UsageError: If so many validation images cannot be had.
        DataError: If there is one image alone.

    Example:
        >>> train, validation, test = divide({"train": ArraySplit(images)}, 0, 100, "")
        >>> len(train), len(validation), len(test)
        (800, 100, 100)
    """
    train, test = splits.pop("train"), splits.get("test")
    validation = splits.get("validation")
    if test is None:
        if len(train) < 2:
            raise DataError(
                f"{name}: a single image; expected at least 2, one to train on and one"
                " to test on."
            )
        train, test = _carve(train, max(1, len(train) // 10), (seed, 1))

    pool = train if validation is None else validation
    if validation_images is None:
        if validation is not None:
            return train, validation, test
        validation_images = min(1000, len(train) // 10)
    largest = len(pool) - (validation is None)  # of train, at least one image stays
    whole = isinstance(validation_images, int | np.integer)
    if not whole or not 0 <= validation_images <= largest:
        raise UsageError(
            f"Invalid number of validation images {validation_images!r} for {name};"
            f" expected a whole number from 0 to {largest}."
        )
    if validation_images == 0:
        return train, None, test
    rest, validation = _carve(pool, int(validation_images), (seed, 2))
    return (rest if pool is train else train), validation, test


def _carve(split: Stored, num: int, seed: tuple[int, int]) -> tuple[Stored, Stored]:
    """Divides a split into the rest and `num` images, each class in proportion."""
    labels = np.zeros(len(split)) if split.labels is None else split.labels
    chosen = np.zeros(len(split), bool)  # (N,)
    chosen[stratified_draw(labels, num, seed)] = True
    return split.part(~chosen), split.part(chosen)


def stratified_draw(labels: np.ndarray, num: int, seed: tuple[int, ...]) -> np.ndarray:
    """Draws `num` of N examples so that every class keeps its share.

    Class c with n_c examples gives floor(num * n_c / N); what is missing to `num` goes
    to the classes with the largest remainders (Hamilton's method). The draw uses the
    raw output of PCG64, which NumPy promises never to change (NEP 19), so that a seed
    means the same split in every version.

    Args:
        labels: (N,) class of each example.
        num: How many to draw, from 0 to N.
        seed: Whole numbers >= 0.

    Returns:
        int64 (num,), ascending indices.
    """
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    shares, remainders = np.divmod(num * counts, len(labels))
    shares[np.argsort(-remainders, kind="stable")[: num - shares.sum()]] += 1

    keys = np.random.PCG64(seed).random_raw(len(labels))  # (N,)
    order = np.lexsort((keys, classes))  # (N,) by class, at random within each
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[rank < np.repeat(shares, counts)])
