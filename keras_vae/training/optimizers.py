"""Optimizers of the command line: a learning rate -> a Keras optimizer.

In Python, `VAE.compile` takes any optimizer of Keras.
"""

import keras


def adam(learning_rate) -> keras.optimizers.Optimizer:
    """Adam (Kingma & Ba 2015).

    Args:
        learning_rate: float, or a `keras.optimizers.schedules.LearningRateSchedule`.

    Returns:
        The optimizer.

    Example:
        >>> vae.compile(adam(1e-3))
    """
    return keras.optimizers.Adam(learning_rate)


def muon(learning_rate) -> keras.optimizers.Optimizer:
    """Muon for the matrices (Jordan et al. 2024), Adam for the rest.

    A matrix moves along its gradient made orthogonal, so that rare directions are
    learned as fast as common ones. On the 784-200-200-50 networks of Burda et al.
    (2015) 30 epochs with cosine decay end at a test bound of -95.2 nats, in batches of
    500 at 5e-3, where Adam's end at -99.2 (batches of 100, 1e-3) or -96.8 (3e-3).

    The orthogonalization costs the same for any batch size, so batches should be large.
    It takes three Newton-Schulz steps, which give the bound of five, and no weight
    decay.

    Args:
        learning_rate: float, or a `keras.optimizers.schedules.LearningRateSchedule`.

    Returns:
        The optimizer.

    Example:
        >>> vae.compile(muon(5e-3))
    """
    return keras.optimizers.Muon(
        learning_rate, weight_decay=None, adam_weight_decay=None, ns_steps=3
    )


OPTIMIZERS = {
    "adam": adam,
    "muon": muon,
}
