"""What `compile` and `fit` are given that a VAE takes otherwise than other models."""

import contextlib
import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

from keras_vae.data import checks
from keras_vae.data.splits import Split
from keras_vae.errors import UsageError, whole_number
from keras_vae.training.checkpoints import Checkpoint


def size(name: str, value: Any, default: Any = None) -> Any:
    """An argument that is None, which stands for a default, or a whole number >= 1."""
    return default if value is None else whole_number(name, value)


def refuse_losses(loss, loss_weights, metrics, weighted_metrics) -> None:
    """Refuses what `keras.Model.compile` would measure reconstructions with.

    Raises:
        UsageError: If one of them is given.
    """
    if loss is not None or loss_weights is not None:
        raise UsageError(
            "compile takes no loss and no loss_weights: the objective is the loss, "
            "VAE(..., objective=...)."
        )
    if metrics or weighted_metrics:
        raise UsageError(
            "compile takes no metrics and no weighted_metrics: fit and evaluate report "
            "loss, elbo, log_likelihood and kl_divergence; compute others from "
            "vae.reconstruct(x)."
        )


def refuse_class_weight(class_weight) -> None:
    """Refuses weights of classes; see `keras.Model.fit`.

    Raises:
        UsageError: If there are any.
    """
    if class_weight is not None:
        raise UsageError("class_weight is not supported; use sample_weight.")


def unpacked(data):
    """x, y and sample_weight of validation data."""
    if isinstance(data, tuple) and len(data) > 3:
        raise UsageError(
            "validation_data must be x, (x, y) or (x, y, sample_weight); got "
            f"{len(data)} parts."
        )
    return data if isinstance(data, tuple | list) and len(data) <= 3 else (data,)


def images_and_labels(x, labeled: bool):
    """What `predict` is given, apart: images, and labels or None.

    Args:
        x: Images, a dict `image` and `label`, a `Split`, or [images, labels].
        labeled: Whether the model takes labels.
    """
    if isinstance(x, Split):
        split = x.take(slice(None))
        return split.images, split.labels
    if isinstance(x, dict):
        return checks.of_dict(x)
    if labeled and isinstance(x, list | tuple) and len(x) == 2:
        return x
    return x, None


def order(seed: int, steps: int) -> int:
    """The seed of the order of images, int in [0, 2**24).

    Args:
        seed: int, the model's, which is that of a first `fit`.
        steps: int, that the optimizer had made before this one.

    Example:
        >>> order(7, 0), order(7, 100) == order(7, 200)
        (7, False)
    """
    return (seed + steps * 10_368_889) % 2**24  # a share of the golden ratio


def first_epoch(callbacks, initial_epoch: int) -> int:
    """The epoch that training begins with, as callbacks will have it.

    `BackupAndRestore` goes on where its backup was made, and the order of the images
    must go on there, too.

    Args:
        callbacks: What `fit` was given.
        initial_epoch: int, what it is without them.

    Returns:
        int >= 0.

    Raises:
        UsageError: If a callback cannot work here.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    for callback in keras.tree.flatten(callbacks):
        if isinstance(callback, keras.callbacks.TensorBoard):
            if find_spec("tensorboard") is None:
                raise UsageError(
                    "The TensorBoard callback needs the package tensorboard; "
                    "pip install '.[tensorboard]'."
                )
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            if callback.save_freq != "epoch":
                raise UsageError(
                    "BackupAndRestore must save at the end of an epoch, not within "
                    'one, whose images and noise would come again: save_freq="epoch".'
                )
            state = Path(callback.backup_dir, "training_metadata.json")
            if state.exists():
                initial_epoch = json.loads(state.read_text())["epoch"]
    return initial_epoch


def check_passes(batches, number: int) -> None:
    """Refuses to go several times through what can be read once.

    Args:
        batches: `keras_vae.data.batches.Batches`.
        number: int, of epochs.

    Raises:
        UsageError: If a generator is to give its batches again.
    """
    if batches.once and batches.steps is None and number > 1:
        raise UsageError(
            f"A generator gives its batches once, and {number} epochs need them as "
            "often: pass steps_per_epoch or validation_steps, or an object that can be "
            "iterated again."
        )


@contextlib.contextmanager
def end_of_data(steps: int | None):
    """Where nobody knows the number of steps, the data's end is no fault to warn of."""
    with warnings.catch_warnings():
        if steps is None:
            warnings.filterwarnings("ignore", "Your input ran out of data")
        yield


def checkpoint_among(callbacks) -> Checkpoint | None:
    """The `Checkpoint` among the callbacks of `fit`, or None."""
    found = [one for one in callbacks if isinstance(one, Checkpoint)]
    if len(found) > 1:
        raise UsageError(f"fit takes one Checkpoint; got {len(found)}.")
    return found[0] if found else None


def with_checkpoint_last(
    callbacks, checkpoint: Checkpoint | None
) -> list[keras.callbacks.Callback]:
    """Callbacks with the checkpoint last: it saves what all others have done."""
    if checkpoint is None:
        return callbacks
    others = [one for one in callbacks if one is not checkpoint]
    if not any(isinstance(one, keras.callbacks.History) for one in others):
        others.append(keras.callbacks.History())  # else Keras adds it behind
    return [*others, checkpoint]
