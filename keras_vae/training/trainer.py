"""A Keras model whose `fit` and `evaluate` run many steps in one program.

`FusedModel` is the Keras side of `keras_vae.training.fused_steps`: it takes whatever a
user passes to `fit` as `keras_vae.data.batches.Batches`, and chooses how many steps go
into a call.
"""

import contextlib
import warnings

import keras
import tensorflow as tf
from keras import ops

from keras_vae.data.batches import Batches, ImageSpec, batches_of
from keras_vae.data.binarization import EVALUATION_SEED
from keras_vae.data.splits import divided
from keras_vae.errors import UsageError, whole_number
from keras_vae.training.fused_steps import FusedFunction, automatic_steps
from keras_vae.training.strategy import check_one_device

METRICS = ("loss", "elbo", "log_likelihood", "kl_divergence")


class FusedModel(keras.Model):
    """A `keras.Model` that trains on images, many steps in one call.

    A subclass sets `image_shape`, `num_classes` and `seed`, and has `train_step` and
    `test_step` for batches (images, labels, weight), which call `track`.
    """

    image_shape: tuple[int, int, int]
    num_classes: int | None
    seed: int
    _fused = _fused_test = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._trackers = [keras.metrics.Mean(name=name) for name in METRICS]

    @property
    def image_spec(self) -> ImageSpec:
        """The images and labels that the model takes."""
        return ImageSpec(self.image_shape, self.num_classes)

    @property
    def metrics(self):
        return [*self._trackers]

    def track(self, terms, losses):
        """Counts a batch in the metrics; returns what they are so far.

        Args:
            terms: `Terms` of the batch.
            losses: float (B,), what is minimized.
        """
        log_likelihood = ops.mean(terms.log_likelihood, axis=0)
        values = (losses, terms.elbo, log_likelihood, terms.kl_divergence)  # each (B,)
        for tracker, value in zip(self._trackers, values, strict=True):
            tracker.update_state(value, sample_weight=terms.weight)
        return self.get_metrics_result()

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

    @property
    def _stock_steps(self) -> int:
        """What the attribute of Keras is where nothing has been chosen yet."""
        number = self._steps_per_execution
        return 1 if isinstance(number, str) else number

    def get_compile_config(self):
        return {
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "steps_per_execution": self._steps_per_execution,
            "jit_compile": self._jit_compile_choice,
        }

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        *,
        sample_weight=None,
        shuffle=True,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_split=0.0,
        validation_data=None,
        validation_batch_size=None,
        validation_steps=None,
        class_weight=None,
        **kwargs,
    ):
        """Trains the model; see `keras.Model.fit`.

        Images in an array are taken in an order that is a pure function of (`seed`,
        epoch), so with `initial_epoch` a run goes on in the order it would have had.

        Args:
            x: uint8 (N, H, W, C), or float in [0, 1]; a `keras_vae.Split`; or batches
                of images, (images, labels) or (images, labels, weights), as a
                `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator.
            y: int (N,), labels for a conditional model.
            batch_size: int, images in an optimizer step; default 32.
            epochs: int, the epoch to train up to.
            sample_weight: float (N,), how much each image counts.
            shuffle: bool, whether the order is another in each epoch.
            initial_epoch: int, the epoch to begin with.
            steps_per_epoch: int, for epochs of another length than the data's.
            validation_split: float in [0, 1), the last part of images in an array.
            validation_data: Data as `x`, or (x, y), or (x, y, sample_weight).
            validation_batch_size: int; default: `batch_size`.
            validation_steps: int; default: all.
            class_weight: Refused: use `sample_weight`.
            **kwargs: `callbacks`, `verbose` and `validation_freq`, as Keras has them.

        Returns:
            `keras.callbacks.History`.

        Raises:
            DataError: If `x` holds no image, or pixels that are neither in [0, 255]
                as integers nor in [0, 1] as floats.
            UsageError: If an argument does not go with the data.
        """
        self._assert_compile_called("fit")
        check_one_device(self)
        if class_weight is not None:
            raise UsageError("class_weight is not supported; use sample_weight.")
        batch_size = _batch_size(batch_size)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = divided(
                x, y, sample_weight, validation_split
            )
        batches = batches_of(
            x,
            y,
            sample_weight,
            spec=self.image_spec,
            batch_size=batch_size,
            seed=self.seed if shuffle else None,
            first_epoch=initial_epoch,
        )
        if steps_per_epoch not in (None, batches.steps):
            whole_number("steps_per_epoch", steps_per_epoch)
            batches = batches.in_epochs_of(steps_per_epoch)
        _check_passes(batches, epochs - initial_epoch)
        self._choose_steps(batches)
        self._fused = self._is_fused(batches)
        if validation_data is not None:
            validation = self._evaluation_batches(
                *_unpacked(validation_data),
                batch_size=validation_batch_size or batch_size,
                steps=validation_steps,
            )
            _check_passes(validation, epochs - initial_epoch)
            validation_data, validation_steps = self._prepared(validation)
        with _end_of_data(batches.steps):
            return super().fit(
                batches.dataset(self.steps_per_execution if self._fused else None),
                epochs=epochs,
                initial_epoch=initial_epoch,
                steps_per_epoch=batches.steps,
                shuffle=False,  # the data set has its own order
                validation_data=validation_data,
                validation_steps=validation_steps,
                **kwargs,
            )

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        *,
        sample_weight=None,
        steps=None,
        **kwargs,
    ):
        """The mean metrics in nats per image; see `keras.Model.evaluate`.

        Every call draws the same noise, and leaves the training noise where it was.

        Args:
            x: As for `fit`.
            y: int (N,), labels for a conditional model.
            batch_size: int; default 32.
            sample_weight: float (N,), how much each image counts.
            steps: int, batches to look at; default: all.
            **kwargs: Passed to `keras.Model.evaluate`.

        Returns:
            The metrics, a list in the order of `metrics_names`, or a dict with
            `return_dict=True`.
        """
        self._assert_compile_called("evaluate")
        check_one_device(self)
        if not kwargs.get("_use_cached_eval_dataset"):  # else `fit` has prepared it
            batches = self._evaluation_batches(
                x, y, sample_weight, batch_size=batch_size, steps=steps
            )
            self._choose_steps(batches)
            x, steps = self._prepared(batches)
        with self.noise_of(EVALUATION_SEED), _end_of_data(steps):
            return super().evaluate(x, steps=steps, **kwargs)

    def _evaluation_batches(self, *data, batch_size, steps):
        batches = batches_of(
            *data,
            spec=self.image_spec,
            batch_size=_batch_size(batch_size),
            prepare=self.evaluation_images,
        )
        if steps is None:
            return batches
        return batches.first(whole_number("steps", steps))

    def _prepared(self, batches):
        """Evaluation data and their number of steps, in slices as chosen before."""
        self._fused_test = self._is_fused(batches)
        slice_steps = self.steps_per_execution if self._fused_test else None
        return batches.dataset(slice_steps), batches.steps

    def _choose_steps(self, batches: Batches):
        """Decides how many steps go into a call."""
        number = self._stock_steps
        if self.run_eagerly:
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
        stock = self._steps_per_execution == 1 and batches.steps is not None
        return not self.run_eagerly and not stock

    def make_train_function(self, force=False):
        if not self._fused:
            stale = isinstance(self.train_function, FusedFunction)
            super().make_train_function(force or stale)
        elif force or not isinstance(self.train_function, FusedFunction):
            self.train_function = FusedFunction(self, self.train_step)

    def make_test_function(self, force=False):
        if not self._fused_test:
            stale = isinstance(self.test_function, FusedFunction)
            super().make_test_function(force or stale)
        elif force or not isinstance(self.test_function, FusedFunction):
            self.test_function = FusedFunction(self, self.test_step)

    @property
    def compile_seconds(self) -> float:
        """Seconds spent so far on compiling the fused training steps."""
        function = self.train_function
        return function.compile_seconds if isinstance(function, FusedFunction) else 0.0

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


def _batch_size(given):
    return 32 if given is None else whole_number("batch_size", given)


def _check_passes(batches, number):
    """Refuses to go several times through what can be read once."""
    if batches.once and batches.steps is None and number > 1:
        raise UsageError(
            f"A generator gives its batches once, and {number} epochs need them as "
            "often: pass steps_per_epoch or validation_steps, or an object that can be "
            "iterated again."
        )


@contextlib.contextmanager
def _end_of_data(steps):
    """Where nobody knows the number of steps, the data's end is no fault to warn of."""
    with warnings.catch_warnings():
        if steps is None:
            warnings.filterwarnings("ignore", "Your input ran out of data")
        yield


def _unpacked(data):
    """x, y and sample_weight of validation data."""
    return data if isinstance(data, tuple | list) and len(data) <= 3 else (data,)


def _has_convolutions(model):
    kernels = [weight for weight in model.weights if weight.name == "kernel"]
    return any(len(kernel.shape) > 2 for kernel in kernels)
