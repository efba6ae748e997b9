"""Refuses distribution strategies: the seam where several devices will enter.

Everything that depends on the number of replicas is to be found by this module's name:
the noise and the sums of a step, the batches of a replica, who writes the files.
"""

import tensorflow as tf

from keras_vae.errors import UsageError


def check_one_device(model) -> None:
    """Refuses a model that was made, or is used, inside a distribution strategy.

    There every replica would draw the same noise, and the optimizer would add up their
    gradients: a run that looks well and is wrong.

    Args:
        model: A `keras.Model`.

    Raises:
        UsageError: If the model's own strategy, or the current one, is not the default.
    """
    strategy = model.distribute_strategy
    if tf.distribute.has_strategy():
        strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, _ONE_DEVICE):
        raise UsageError(
            f"Training under {type(strategy).__name__} is not supported; build, "
            "compile and fit the model outside of strategy.scope(), on one device."
        )


_ONE_DEVICE = type(tf.distribute.get_strategy())  # TensorFlow's default strategy
