"""A Keras model of images: it checks what it is given, and says what it measures."""

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae.data import checks, streams
from keras_vae.data.adapters import stream_of
from keras_vae.data.checks import ImageSpec
from keras_vae.data.splits import SupportsArray
from keras_vae.training import arguments
from keras_vae.training.tracing import each_model_once

METRICS = ("loss", "elbo", "log_likelihood", "kl_divergence")


class ImageModel(keras.Model):
    """A `keras.Model` that takes images, and labels where it is conditional.

    A subclass sets `image_shape`, `num_classes` and `seed`, and has `train_step` and
    `test_step` for batches (images, labels, weight), which call `track`.
    """

    image_shape: tuple[int, int, int]
    num_classes: int | None
    seed: int
    couples_images = False  # whether a step needs all images of a batch together

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._trackers = [keras.metrics.Mean(name=name) for name in METRICS]

    @property
    def image_spec(self) -> ImageSpec:
        """The images and labels that the model takes."""
        return ImageSpec(self.image_shape, self.num_classes)

    def _scaled(self, x):
        """Images as float32 (B, H, W, C) in [0, 1]; integers are taken as 0 to 255."""
        x = ops.convert_to_tensor(x)
        checks.check_shape(x.shape, self.image_shape)
        scale = 255.0 if keras.backend.is_int_dtype(x.dtype) else 1.0
        return ops.reshape(ops.cast(x, "float32") / scale, (-1, *self.image_shape))

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

    @property
    def preparation(self) -> Callable[..., np.ndarray] | None:
        """What is done to checked images before evaluation: see `batches_of`."""
        return None

    def evaluation_images(self, images):
        """What evaluation sees of checked images."""
        return images if self.preparation is None else self.preparation(images)

    @each_model_once()
    @streams.in_one_sentence()
    def predict(
        self, x, batch_size=None, verbose: Any = "auto", steps=None, callbacks=None
    ):
        """Reconstructs images; see `keras.Model.predict` and `VAE.reconstruct`.

        Args:
            x: As for `fit`, or [images, labels] for a conditional model.
            batch_size: int; default 32.
            verbose: As Keras has it.
            callbacks: As Keras has them.
            steps: int, batches to look at; default: all.

        Returns:
            float32 (N, H, W, C) in [0, 1].
        """
        batch_size = arguments.size("batch_size", batch_size)
        steps = arguments.size("steps", steps)
        labeled = self.num_classes is not None
        images, labels = arguments.images_and_labels(x, labeled)
        if isinstance(images, SupportsArray | list):  # pyright: ignore
            images, labels = checks.checked_arrays(images, labels, self.image_spec)
            inputs = [images, labels] if labeled else images
        else:
            stream = stream_of(x, self.image_spec)
            inputs = stream.batches.map(
                lambda images, labels, _: ((images, labels) if labeled else images,)
            )
            steps = steps or stream.steps
        chosen, self.steps_per_execution = self.steps_per_execution, 1  # fit's is not
        try:  # that of Keras's own loop, which keeps its function
            return super().predict(inputs, batch_size, verbose, steps, callbacks)
        finally:
            self.steps_per_execution = chosen

    def predict_on_batch(self, x):
        """Reconstructs one batch of arrays; see `predict`."""
        return self.predict(x, verbose=0)

    @property
    def _noise_states(self):
        return [v for v in self.variables if v.name == "seed_generator_state"]

    @contextlib.contextmanager
    def noise_of(self, seed: int):
        """Lets the layers draw the noise of `seed`, and then go on where they were."""
        states = self._noise_states
        before = [state.numpy() for state in states]
        for index, state in enumerate(states):
            state.assign([seed, index])
        try:
            yield
        finally:
            for state, value in zip(states, before, strict=True):
                state.assign(value)

    # Keras saves the weights without the noise, which would begin anew.

    def save_own_variables(self, store):
        store["noise"] = np.stack([state.numpy() for state in self._noise_states])

    def load_own_variables(self, store):
        if "noise" in store:  # not in files of before
            for state, value in zip(self._noise_states, store["noise"], strict=True):
                state.assign(value)
