"""A Keras model whose `fit` and `evaluate` run many steps in one program.

`FusedModel` takes whatever a user passes to `fit` as `keras_vae.data.batches.Batches`;
how its steps are run is in `keras_vae.training.step_loop`.
"""

import contextlib
from typing import Any

from keras import ops

from keras_vae.data import streams
from keras_vae.data.batches import batches_of
from keras_vae.data.binarization import EVALUATION_SEED
from keras_vae.data.splits import divided
from keras_vae.data.start import Start
from keras_vae.training import arguments
from keras_vae.training.divergence import guarded
from keras_vae.training.step_loop import StepLoop
from keras_vae.training.strategy import is_replicated, together
from keras_vae.training.surroundings import settings_of
from keras_vae.training.tracing import each_model_once


class FusedModel(StepLoop):
    """An `ImageModel` that trains many steps in one call."""

    @each_model_once()
    @streams.in_one_sentence()
    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
    ):
        """Trains the model; see `keras.Model.fit`.

        Images in an array are taken in an order that is a pure function of (`seed`,
        epoch), so with `initial_epoch` a run goes on in the order it would have had. A
        further `fit` from the first epoch on has another order.

        Args:
            x: uint8 (N, H, W, C), or float in [0, 1]; a `keras_vae.Split`; or batches
                of images, (images, labels) or (images, labels, weights), as a
                `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator.
            y: int (N,), labels for a conditional model.
            batch_size: int, images in an optimizer step, where `x` is not in batches;
                default 32.
            epochs: int, the epoch to train up to.
            verbose: As Keras has it.
            callbacks: As Keras has them.
            validation_split: float in [0, 1), the last part of images in an array.
            validation_data: Data as `x`, or (x, y), or (x, y, sample_weight).
            shuffle: bool, whether the order is another in each epoch; a `tf.data`
                set and a generator have their own.
            class_weight: Refused: use `sample_weight`.
            sample_weight: float (N,), how much each image counts.
            initial_epoch: int, the epoch to begin with: of the data, where
                `steps_per_epoch` is another.
            steps_per_epoch: int, for epochs of another length than the data's.
            validation_steps: int; default: all.
            validation_batch_size: int; default: `batch_size`.
            validation_freq: int or list of epochs, as Keras has it.

        Returns:
            `keras.callbacks.History`.

        Raises:
            DataError: If `x` holds no image, or pixels that are neither in [0, 255]
                as integers nor in [0, 1] as floats.
            UsageError: If an argument does not go with the data.
            DivergedError: At the first step whose loss is NaN or infinite, unless
                `callbacks` hold a `TerminateOnNaN`.
        """
        self._assert_compile_called("fit")
        self._replicated = is_replicated(self)
        arguments.refuse_class_weight(class_weight)
        callbacks = guarded(callbacks)
        steps_per_epoch = arguments.size("steps_per_epoch", steps_per_epoch)
        if not initial_epoch:
            self._order = int(ops.convert_to_numpy(self.optimizer.iterations))
        start = Start(arguments.first_epoch(callbacks, initial_epoch))
        if (checkpoint := arguments.checkpoint_among(callbacks)) is not None:
            if (found := checkpoint.find()) is not None:
                start, self._order = found, checkpoint.order
            if checkpoint.stopped:
                epochs = start.epoch
        self._initial_epoch = None  # where a backup was restored before
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = divided(
                x, y, sample_weight, validation_split
            )
        batches = batches_of(
            x,
            y,
            sample_weight,
            spec=self.image_spec,
            batch_size=arguments.size("batch_size", batch_size, 32),
            seed=arguments.order(self.seed, self._order) if shuffle else None,
            start=start._replace(epoch_steps=steps_per_epoch),
        )
        if steps_per_epoch not in (None, batches.steps):
            batches = batches.in_epochs_of(steps_per_epoch)
        arguments.check_passes(batches, epochs - start.epoch)
        self._choose_steps(batches)
        if checkpoint and start.step:  # in the calls that it was cut in
            self.steps_per_execution = checkpoint.steps_per_execution
        self._fused = self._is_fused(batches)
        if validation_data is not None:
            validation = self._evaluation_batches(
                *arguments.unpacked(validation_data),
                batch_size=arguments.size(
                    "validation_batch_size", validation_batch_size, batch_size
                ),
                steps=arguments.size("validation_steps", validation_steps),
            )
            arguments.check_passes(validation, epochs - start.epoch)
            validation_data, validation_steps = self._prepared(validation)
        callbacks = arguments.with_checkpoint_last(callbacks, checkpoint)
        with contextlib.ExitStack() as stack:
            stack.enter_context(together(self.strategy))
            stack.enter_context(arguments.end_of_data(batches.steps))
            if checkpoint is not None:
                settings = self._settings(batches, shuffle)
                stack.enter_context(
                    checkpoint.running(self, callbacks, settings, start, batches.steps)
                )
            return super().fit(
                self._dataset(batches, self._fused),
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                initial_epoch=start.epoch,
                steps_per_epoch=batches.steps,
                shuffle=False,  # the data set has its own order
                validation_data=validation_data,
                validation_steps=validation_steps,
                validation_freq=validation_freq,
            )

    def _settings(self, batches, shuffle):
        """What must be as it was where a training goes on."""
        return settings_of(
            model=self,
            **self._compiled_as,
            jit_compile=self.jit_compile,
            stock_loop=not self._fused,
            batch_size=batches.spec[0].shape[0],
            steps_per_epoch=batches.steps,
            shuffle=bool(shuffle),
            data=batches.digest(),
        )

    @each_model_once()
    @streams.in_one_sentence()
    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose: Any = "auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """The mean metrics in nats per image; see `keras.Model.evaluate`.

        Every call draws the same noise, and leaves the training noise where it was.

        Args:
            x: As for `fit`.
            y: int (N,), labels for a conditional model.
            batch_size: int; default 32.
            verbose: As Keras has it.
            callbacks: As Keras has them.
            sample_weight: float (N,), how much each image counts.
            steps: int, batches to look at; default: all.
            return_dict: bool, whether to return a dict instead of a list.
            **kwargs: What `keras.Model.fit` adds of its own.

        Returns:
            The metrics, a list in the order of `metrics_names`, or a dict.

        Raises:
            DivergedError: If one of them is NaN or infinite.
        """
        self._assert_compile_called("evaluate")
        self._replicated = is_replicated(self)
        if not kwargs.get("_use_cached_eval_dataset"):  # else `fit` has prepared it
            batches = self._evaluation_batches(
                x,
                y,
                sample_weight,
                batch_size=batch_size,
                steps=arguments.size("steps", steps),
            )
            self._choose_steps(batches)
            x, steps = self._prepared(batches)
            callbacks = guarded(callbacks)
        with (
            together(self.strategy),
            self.noise_of(EVALUATION_SEED),
            arguments.end_of_data(steps),
        ):
            return super().evaluate(
                x,
                verbose=verbose,
                steps=steps,
                callbacks=callbacks,
                return_dict=return_dict,
                **kwargs,
            )

    def _evaluation_batches(self, *data, batch_size, steps):
        batches = batches_of(
            *data,
            spec=self.image_spec,
            batch_size=arguments.size("batch_size", batch_size, 32),
            prepare=self.preparation,
        )
        return batches if steps is None else batches.first(steps)

    def _prepared(self, batches):
        """Evaluation data and their number of steps, in slices as chosen before."""
        self._fused_test = self._is_fused(batches)
        return self._dataset(batches, self._fused_test), batches.steps
