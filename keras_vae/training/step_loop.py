"""How the steps of a model are run: many in one program, or each on several devices.

A third way is Keras's own loop, where one step in a call is asked for.
"""

import keras
import tensorflow as tf

from keras_vae.data.batches import Batches, one_batch
from keras_vae.data.binarization import EVALUATION_SEED
from keras_vae.errors import UsageError, whole_number
from keras_vae.training import arguments
from keras_vae.training.compiling import compiles
from keras_vae.training.fused_steps import FusedFunction, automatic_steps
from keras_vae.training.image_model import ImageModel
from keras_vae.training.strategy import (
    ReplicatedFunction,
    check_parts,
    distributed,
    is_replicated,
)
from keras_vae.training.surroundings import settings_of
from keras_vae.training.tracing import each_model_once


class StepLoop(ImageModel):
    """An `ImageModel` that chooses how its steps are run."""

    _fused = _fused_test = False  # whether batches come in slices
    _replicated = False  # whether on several devices

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.strategy = tf.distribute.get_strategy()  # in whose scope it is made
        self._order = 0  # optimizer steps before the `fit` that images are ordered for

    def compile(
        self,
        optimizer="adam",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        run_eagerly: bool = False,
        steps_per_execution: int | str = "auto",
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ):
        """Configures training; see `keras.Model.compile`.

        Args:
            optimizer: A name or a `keras.optimizers.Optimizer`.
            loss: Refused, the objective is the loss.
            loss_weights: Refused.
            metrics: Refused, the terms of the objective are the metrics.
            weighted_metrics: Refused.
            run_eagerly: bool; see `keras.Model.compile`.
            steps_per_execution: int, the training steps in one compiled call;
                `"auto"` chooses a third of a second's worth at most; 1 is the stock
                Keras loop. It changes the speed, not the result.
            jit_compile: Whether XLA compiles the steps; `"auto"` is `compiles(self)`.
                It too changes the speed, not the result.
            auto_scale_loss: bool; see `keras.Model.compile`.

        Raises:
            UsageError: If a loss or a metric is given, or no number of steps; or if
                the networks were made outside of the model's `tf.distribute` strategy.
        """
        arguments.refuse_losses(loss, loss_weights, metrics, weighted_metrics)
        check_parts(self)
        if steps_per_execution != "auto":
            whole_number("steps_per_execution", steps_per_execution)
        self._steps_per_execution = steps_per_execution
        self._jit_compile_choice = jit_compile
        if jit_compile == "auto":
            jit_compile = compiles(self)
        super().compile(
            optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=self._stock_steps,
            jit_compile=jit_compile and not run_eagerly,
            auto_scale_loss=auto_scale_loss,
        )
        self.optimizer.build(self.trainable_variables)
        # now, for callbacks may change its learning rate
        serialized = keras.saving.serialize_keras_object(self.optimizer)
        self._compiled_as = settings_of(optimizer=serialized)

    @property
    def _stock_steps(self) -> int:
        """What the attribute of Keras is where nothing has been chosen yet."""
        number = self._steps_per_execution
        return 1 if isinstance(number, str) else number

    def get_compile_config(self):
        if not self.compiled:
            return {}
        return {
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "steps_per_execution": self._steps_per_execution,
            "jit_compile": self._jit_compile_choice,
            "run_eagerly": self.run_eagerly,
        }

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def _dataset(self, batches, fused):
        """The batches, in slices where steps are fused, or for each replica its own."""
        dataset = batches.dataset(self.steps_per_execution if fused else None)
        if not self._replicated:
            return dataset
        return distributed(self.strategy, dataset, batches.spec[0].shape[0])

    def _choose_steps(self, batches: Batches):
        """Decides how many steps go into a call."""
        number = self._stock_steps
        if self.run_eagerly or self._replicated:
            number = 1
        elif self._steps_per_execution == "auto":
            number = automatic_steps(self, batches.spec, batches.steps)
        while batches.divisible and batches.steps and batches.steps % number:
            number -= 1
        self.steps_per_execution = number

    def _is_fused(self, batches):
        """Whether the steps run in slices, as they do but where one step was asked for.

        Those of unknown number always do: the stock loop would begin one step too many,
        and draw noise for it, to find out that the data have ended.
        """
        counted = batches.steps is not None and not batches.may_end
        stock = self._steps_per_execution == 1 and counted
        return not self.run_eagerly and not self._replicated and not stock

    def make_train_function(self, force=False):
        if (kind := self._kind(self._fused)) is None:
            stale = isinstance(self.train_function, _OWN)
            super().make_train_function(force or stale)
        elif force or not isinstance(self.train_function, kind):
            self.train_function = kind(self, self.train_step)

    def make_test_function(self, force=False):
        if (kind := self._kind(self._fused_test)) is None:
            stale = isinstance(self.test_function, _OWN)
            super().make_test_function(force or stale)
        elif force or not isinstance(self.test_function, kind):
            self.test_function = kind(self, self.test_step)

    def _kind(self, fused):
        """Of the function that does the steps; None for Keras's own."""
        if self._replicated:
            return ReplicatedFunction
        return FusedFunction if fused else None

    def _maybe_symbolic_build(self, *args, **kwargs):
        """Nothing: the model is built, and Keras's way fails for several workers."""

    @property
    def compile_seconds(self) -> float:
        """Seconds spent so far on compiling the fused training steps."""
        function = self.train_function
        return function.compile_seconds if isinstance(function, FusedFunction) else 0.0

    @each_model_once()
    def train_on_batch(
        self, x, y=None, sample_weight=None, class_weight=None, return_dict=False
    ):
        """One step on one batch of arrays; see `keras.Model.train_on_batch`."""
        arguments.refuse_class_weight(class_weight)
        self._refuse_replicas("train_on_batch")
        self._fused = False
        batch = one_batch(x, y, sample_weight, self.image_spec)
        return super().train_on_batch(*batch, return_dict=return_dict)

    @each_model_once()
    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """The metrics of one batch of arrays; see `keras.Model.test_on_batch`."""
        self._refuse_replicas("test_on_batch")
        self._fused_test = False
        batch = one_batch(x, y, sample_weight, self.image_spec, self.preparation)
        with self.noise_of(EVALUATION_SEED):
            return super().test_on_batch(*batch, return_dict=return_dict)

    def _refuse_replicas(self, method):
        if is_replicated(self):
            raise UsageError(f"{method} works on one device only; use fit or evaluate.")
        self._replicated = False


_OWN = (FusedFunction, ReplicatedFunction)
