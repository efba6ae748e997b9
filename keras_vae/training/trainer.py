"""A Keras model whose `fit` and `evaluate` run many steps in one program.

`FusedModel` is the Keras side of `keras_vae.training.fused_steps`: it brings whatever
a user passes to `fit` into batches of one shape, stacks them to slices, and chooses how
many steps go into a call. What cannot be brought into that form, such as a generator,
trains in the stock Keras loop.
"""

import contextlib
import math

import keras
import numpy as np
import tensorflow as tf

from keras_vae.data import pipeline
from keras_vae.data.binarization import EVALUATION_SEED
from keras_vae.training.fused_steps import FusedFunction, automatic_steps
from keras_vae.training.strategy import check_one_device


class FusedModel(keras.Model):
    """A `keras.Model` that trains on images, many steps in one call.

    A subclass has `train_step` and `test_step` for batches (images, labels, weight),
    `image_shape`, `seed`, and the two methods at the top.
    """

    _fused = _fused_test = False

    def arrays(self, x, y):
        """Checked images (N, H, W, C) and labels int64 (N,) of what a user gave."""
        raise NotImplementedError

    def evaluation_images(self, images):
        """What evaluation sees of checked images."""
        return images

    def compile(
        self,
        optimizer="adam",
        *,
        steps_per_execution: int | str = "auto",
        jit_compile: bool | str = "auto",
        **kwargs,
    ):
        """Configures training; see `keras.Model.compile`.

        Args:
            optimizer: A name or a `keras.optimizers.Optimizer`.
            steps_per_execution: int, the training steps in one compiled call;
                `"auto"` chooses a third of a second's worth at most; 1 is the stock
                Keras loop. It changes the speed, not the result.
            jit_compile: Whether XLA compiles the steps; `"auto"` is yes, but for
                convolutions on a CPU, where XLA is slow. It too changes the speed, not
                the result.
            **kwargs: Passed to `keras.Model.compile`.
        """
        self._steps_per_execution = steps_per_execution
        self._jit_compile_choice = jit_compile
        self._stock_steps = 1 if steps_per_execution == "auto" else steps_per_execution
        if jit_compile == "auto":
            jit_compile = bool(tf.config.list_physical_devices("GPU")) or not (
                _has_convolutions(self)
            )
        super().compile(
            optimizer,
            steps_per_execution=self._stock_steps,
            jit_compile=jit_compile,
            **kwargs,
        )
        self.optimizer.build(self.trainable_variables)

    def get_compile_config(self):
        return {
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "steps_per_execution": self._steps_per_execution,
            "jit_compile": self._jit_compile_choice,
        }

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(
        self, x=None, y=None, batch_size=None, epochs=1, *, callbacks=None, **kwargs
    ):
        """Trains the model; see `keras.Model.fit`.

        Images in an array are taken in an order that is a pure function of (`seed`,
        epoch), so with `initial_epoch` a run goes on in the order it would have had.

        Args:
            x: uint8 (N, H, W, C), or float in [0, 1]; or a `tf.data.Dataset` of batches
                of images, (images, labels) or (images, labels, weights).
            y: int (N,), labels for a conditional model.
            batch_size: int, images in an optimizer step; default 32.
            epochs: int, the epoch to train up to.
            callbacks: A list of `keras.callbacks.Callback`.
            **kwargs: Passed to `keras.Model.fit`.

        Returns:
            `keras.callbacks.History`.

        Raises:
            DataError: If `x` holds no image, or pixels that are neither in [0, 255]
                as integers nor in [0, 1] as floats.
        """
        self._assert_compile_called("fit")
        check_one_device(self)
        batch_size = batch_size or 32
        split = kwargs.pop("validation_split", 0.0)
        validation_data = kwargs.pop("validation_data", None)
        steps = kwargs.pop("steps_per_epoch", None)
        self._fused = False
        self.steps_per_execution = self._stock_steps
        if _is_array(x):
            x, y = self.arrays(x, y)
            if split and validation_data is None:
                number = int(len(x) * (1 - split))
                validation_data = (x[number:], y[number:])
                x, y = x[:number], y[:number]
            if kwargs.get("sample_weight") is None and kwargs.get("shuffle", True):
                x, y, steps = self._own_batches(
                    x, y, batch_size, steps, kwargs.get("initial_epoch", 0)
                )
        elif isinstance(x, tf.data.Dataset):
            x, steps = self._sliced(x, steps)
        if validation_data is not None:
            size = kwargs.get("validation_batch_size") or batch_size
            validation_data, kwargs["validation_steps"] = self._evaluation_data(
                validation_data, size, kwargs.get("validation_steps")
            )
        if not _is_array(x):  # has its own batches and order
            batch_size, kwargs["shuffle"] = None, False
        return super().fit(
            x,
            y,
            batch_size,
            epochs,
            callbacks=callbacks,
            validation_data=validation_data,
            steps_per_epoch=steps,
            **kwargs,
        )

    def _own_batches(self, images, labels, batch_size, steps, first_epoch):
        """Batches of arrays; in slices, but for epochs of somebody's own length."""
        epoch_steps = math.ceil(len(images) / batch_size)
        spec = (
            tf.TensorSpec((batch_size, *self.image_shape), images.dtype),
            tf.TensorSpec((batch_size,), labels.dtype),
            tf.TensorSpec((batch_size,), "float32"),
        )
        if steps in (None, epoch_steps):
            self._choose_steps(spec, epoch_steps)
        batches = pipeline.training_batches(
            images,
            labels,
            batch_size,
            self.seed,
            first_epoch=first_epoch,
            slice_steps=self.steps_per_execution if self._fused else None,
        )
        return batches, None, steps or epoch_steps

    def _choose_steps(self, spec, steps, divides=False):
        """Decides whether to fuse steps, and how many."""
        number = self._steps_per_execution
        if self.run_eagerly:
            number = 1
        elif number == "auto":
            number = automatic_steps(self, spec, steps)
        while divides and steps % number:  # an epoch is a whole number of calls
            number -= 1
        self._fused = number > 1
        self.steps_per_execution = number

    def _sliced(self, dataset, steps):
        """Somebody's batches in one shape; in slices where their number is known."""
        dataset = pipeline.of_one_shape(dataset)
        cardinality = dataset.cardinality().numpy()
        if steps is None and cardinality < 0:
            return dataset, steps
        self._choose_steps(
            dataset.element_spec, steps or cardinality, steps is not None
        )
        if not self._fused:
            return dataset, steps
        slices = pipeline.in_slices(dataset, self.steps_per_execution)
        return slices.prefetch(2).repeat(), int(steps or cardinality)

    def evaluate(self, x=None, y=None, batch_size=None, **kwargs):
        """The mean metrics in nats per image; see `keras.Model.evaluate`.

        Every call draws the same noise, and leaves the training noise where it was.

        Args:
            x: As for `fit`.
            y: int (N,), labels for a conditional model.
            batch_size: int; default 32.
            **kwargs: Passed to `keras.Model.evaluate`.

        Returns:
            The metrics, a list in the order of `metrics_names`, or a dict with
            `return_dict=True`.
        """
        self._assert_compile_called("evaluate")
        check_one_device(self)
        if not kwargs.get("_use_cached_eval_dataset"):  # else `fit` has prepared it
            self.steps_per_execution = self._stock_steps
            data = x if y is None else (x, y)
            x, kwargs["steps"] = self._evaluation_data(
                data, batch_size or 32, kwargs.get("steps"), choose=True
            )
        with self.noise_of(EVALUATION_SEED):
            return super().evaluate(x, **kwargs)

    def _evaluation_data(self, data, batch_size, steps, choose=False):
        """Batches to evaluate and their number, in slices of as many as in training."""
        self._fused_test = False
        x, *y = data if isinstance(data, list | tuple) else (data,)
        if _is_array(x):
            images, labels = self.arrays(x, *y[:1] or [None])
            images = self.evaluation_images(images)
            dataset = pipeline.evaluation_batches(images, labels, batch_size)
        elif isinstance(x, tf.data.Dataset):
            dataset = pipeline.of_one_shape(x)
        else:
            return data, steps
        number = steps or int(dataset.cardinality())
        if number < 0:
            return dataset, steps
        if choose:
            self._choose_steps(dataset.element_spec, number)
        if self.steps_per_execution == 1 or steps:
            return dataset, steps
        self._fused_test = True
        slices = pipeline.in_slices(dataset, self.steps_per_execution)
        return slices.prefetch(2).repeat(), number

    def make_train_function(self, force=False):
        if not self._fused:
            super().make_train_function(force or _is_fused(self.train_function))
        elif force or not _is_fused(self.train_function):
            self.train_function = FusedFunction(self, self.train_step)

    def make_test_function(self, force=False):
        if not self._fused_test:
            super().make_test_function(force or _is_fused(self.test_function))
        elif force or not _is_fused(self.test_function):
            self.test_function = FusedFunction(self, self.test_step)

    @property
    def compile_seconds(self) -> float:
        """Seconds spent so far on compiling the fused training steps."""
        function = self.train_function
        return function.compile_seconds if _is_fused(function) else 0.0

    @contextlib.contextmanager
    def noise_of(self, seed: int):
        """Lets the layers draw the noise of `seed`, and then go on where they were."""
        states = [v for v in self.variables if v.name == "seed_generator_state"]
        before = [state.numpy() for state in states]
        for index, state in enumerate(states):
            state.assign([seed, index])
        try:
            yield
        finally:
            for state, value in zip(states, before, strict=True):
                state.assign(value)


def _has_convolutions(model):
    kernels = [weight for weight in model.weights if weight.name == "kernel"]
    return any(len(kernel.shape) > 2 for kernel in kernels)


def _is_array(x):
    return isinstance(x, np.ndarray | tf.Tensor)


def _is_fused(function):
    return isinstance(function, FusedFunction)
