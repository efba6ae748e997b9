"""Optimizers that leave out steps whose gradient explodes."""

import keras
from keras import ops


class Skipping(keras.optimizers.Optimizer):
    """An optimizer that makes no step where the gradient of all weights is too long.

    Child (2021), "Very deep VAEs", section 3: in deep ladders a rare batch has a
    gradient of many times the usual length, which clipping only turns into a step in a
    wrong direction. Weights, moments and averages stay as they are; the step counts, so
    that schedules and noise go on.

    Args:
        *args: Of the optimizer.
        skip_norm: float > 0, the longest gradient that is followed.
        **kwargs: Of the optimizer.
    """

    def __init__(self, *args, skip_norm: float, **kwargs):
        super().__init__(*args, **kwargs)
        self.skip_norm = skip_norm

    def apply(self, grads, trainable_variables=None):
        follow = super().apply
        if not self.built:
            self.build(trainable_variables)
        grads = list(grads)
        squares = [ops.sum(ops.square(grad)) for grad in grads if grad is not None]

        def skip():
            if self.use_ema:  # an average begins as the weight, at the first step
                averages = self._model_variables_moving_average
                first = ops.equal(self.iterations, 0)
                pairs = zip(self._trainable_variables, averages, strict=True)
                for weight, average in pairs:
                    average.assign(ops.where(first, weight, average))
            self.iterations.assign_add(ops.ones((), self.iterations.dtype))

        is_short = ops.sqrt(sum(squares)) <= self.skip_norm
        ops.cond(is_short, lambda: follow(grads, trainable_variables), skip)

    def get_config(self):
        return {**super().get_config(), "skip_norm": self.skip_norm}


@keras.saving.register_keras_serializable(package="keras_vae")
class SkippingAdam(Skipping, keras.optimizers.Adam):
    """Adam that leaves out steps whose gradient explodes; see `Skipping`."""


@keras.saving.register_keras_serializable(package="keras_vae")
class SkippingMuon(Skipping, keras.optimizers.Muon):
    """Muon that leaves out steps whose gradient explodes; see `Skipping`."""
