"""The variational autoencoder: encoder, posterior, prior, decoder, likelihood, joined.

Read top to bottom: the parts, the pass through them (`terms`), one training step, then
what a user asks of a trained model, and how it is saved, built and loaded.
"""

import contextlib
import dataclasses
import functools
import inspect
import json
import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_vae import portable_normal
from keras_vae.config import TrainConfig
from keras_vae.data import pipeline
from keras_vae.data.binarization import BINARIZATIONS, EVALUATION_SEED, binarize
from keras_vae.divergences import closed_form_kl
from keras_vae.errors import DataError, ModelError, UsageError, unknown, whole_number
from keras_vae.fused_steps import FusedFunction, automatic_steps
from keras_vae.likelihoods import LIKELIHOODS
from keras_vae.networks import NETWORKS
from keras_vae.objectives import OBJECTIVES, check_parts
from keras_vae.posteriors import POSTERIORS
from keras_vae.priors import PRIORS
from keras_vae.sampling import standard_uniform
from keras_vae.terms import Terms, scalable_gradient

ROWS = 1024  # images encoded or decoded in one call


@keras.saving.register_keras_serializable(package="keras_vae")
class VAE(keras.Model):
    """A variational autoencoder (Kingma & Welling 2014, Rezende et al. 2014).

    Maximises the evidence lower bound on log p(x), in nats per image:

        elbo = E_{q(z|x)}[log p(x|z)] - KL(q(z|x) || p(z))  <=  log p(x)

    It is an ordinary Keras model: `compile`, `fit`, `evaluate`, `predict`, `save`.
    Images are uint8, or float in [0, 1], of shape (N, H, W, C), or (N, H, W) where
    C = 1. Labels are used by conditional models only.

    Args:
        encoder: A built `keras.Model`: x (B, H, W, C) -> posterior parameters (B, P),
            or the pair [mean, log_var], each (B, latent_dim). A conditional one takes
            [x, label].
        decoder: A built `keras.Model`: z (B, latent_dim) -> likelihood parameters
            (B, H, W, C * K), logits for `"bernoulli"`. A conditional one takes
            [z, label].
        posterior: A name in `POSTERIORS`, a config dict, or a layer.
        prior: A name in `PRIORS`, a config dict, or a layer.
        likelihood: A name in `LIKELIHOODS`, a config dict, or a layer.
        objective: A name in `OBJECTIVES`, a config dict, or a layer.
        num_samples: int S >= 1, posterior samples an image.
        num_classes: int or None; the number of labels of a conditional model.
        binarization: A name in `BINARIZATIONS`: `"grey"` takes pixels as they are,
            `"dynamic"` draws binary ones anew at every use.
        seed: int, of the noise and of the order of images.
        **kwargs: Passed to `keras.Model`.

    Raises:
        UsageError: If a part has an unknown name, or the parts do not fit together.

    Example:
        >>> encoder = keras.Sequential([
        ...     keras.Input((28, 28, 1)), keras.layers.Flatten(),
        ...     keras.layers.Dense(400, "relu"), keras.layers.Dense(2 * 20)])
        >>> decoder = keras.Sequential([
        ...     keras.Input((20,)), keras.layers.Dense(400, "relu"),
        ...     keras.layers.Dense(784), keras.layers.Reshape((28, 28, 1))])
        >>> vae = VAE(encoder, decoder)
        >>> vae.compile(keras.optimizers.Adam(1e-3))
        >>> vae.fit(images, epochs=10, batch_size=128)
        >>> vae.generate(64, seed=7).shape
        (64, 28, 28, 1)
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        *,
        posterior="diagonal_gaussian",
        prior="standard_normal",
        likelihood="bernoulli",
        objective="elbo",
        num_samples: int = 1,
        num_classes: int | None = None,
        binarization: str = "grey",
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.image_shape = _only_shape(encoder, "encoder", num_classes)
        (self.latent_dim,) = _only_shape(decoder, "decoder", num_classes)
        self.num_samples = num_samples
        self.num_classes = num_classes
        if binarization not in BINARIZATIONS:
            raise unknown("binarization", binarization, BINARIZATIONS)
        self.binarization = binarization
        self.pixel_noise = keras.random.SeedGenerator(seed)
        self.seed = seed
        self.posterior = _part(
            posterior, POSTERIORS, "posterior", latent_dim=self.latent_dim, seed=seed
        )
        self.prior = _part(prior, PRIORS, "prior", latent_dim=self.latent_dim)
        self.likelihood = _part(likelihood, LIKELIHOODS, "likelihood")
        self.objective = _part(objective, OBJECTIVES, "objective")
        check_parts(self.objective, self.posterior, self.prior)
        self._check_shapes()
        if hasattr(self.prior, "pseudo_inputs") and not self.prior.built:
            self.prior.build(self.image_shape)
        self._trackers = [
            keras.metrics.Mean(name=name)
            for name in ("loss", "elbo", "log_likelihood", "kl_divergence")
        ]
        self._fused = self._fused_test = False
        self.built = True

    def _check_shapes(self):
        width = sum(shape[-1] for shape in _shapes(self.encoder.output_shape))
        if width != self.posterior.num_params:
            raise UsageError(
                f"The encoder must give {self.posterior.num_params} numbers an image "
                f"for latent_dim={self.latent_dim}; it gives {width}. Change its last "
                "layer or the decoder's input."
            )
        height, columns, channels = self.image_shape
        expected = (height, columns, channels * self.likelihood.num_params)
        if tuple(self.decoder.output_shape[1:]) != expected:
            raise UsageError(
                f"The decoder must give {expected} for images {self.image_shape}; it "
                f"gives {tuple(self.decoder.output_shape[1:])}. End it with "
                f"keras.layers.Reshape({expected})."
            )

    # === One pass ===

    def _inputs(self, x, label):
        """What a network takes: x or z alone, or with the label where conditional."""
        if self.num_classes is None:
            return x
        if label is None:
            raise UsageError(
                "A conditional VAE needs a label for each image; got none."
            )
        return [x, label]

    def _params(self, x, label=None, training=False):
        """The encoder's output as one tensor, (B, P)."""
        params = self.encoder(self._inputs(x, label), training=training)
        if isinstance(params, list | tuple):
            params = ops.concatenate(params, axis=-1)
        return ops.cast(params, "float32")

    def terms(
        self, x, label=None, weight=None, *, num_samples=None, training=False
    ) -> Terms:
        """One pass: encode, sample, decode, and every term of the objective.

        Args:
            x: float (B, H, W, C) in [0, 1].
            label: int (B,), for a conditional model.
            weight: float (B,), 0 for images that only pad the batch.
            num_samples: int S >= 1; default: the model's.
            training: bool, passed to the networks.

        Returns:
            `Terms`, in nats per image.
        """
        params = self._params(x, label, training)  # (B, P)
        z, log_posterior = self.posterior.sample_and_log_prob(
            params, num_samples or self.num_samples
        )  # (S, B, D), (S, B)
        scale_z_gradient = None
        if training and getattr(self.objective, "doubly_reparameterized", False):
            z, scale_z_gradient = scalable_gradient(z)
            log_posterior = self.posterior.log_prob(ops.stop_gradient(params), z)
        kl = closed_form_kl(self.posterior, self.prior)
        return Terms(
            log_likelihood=self.log_likelihood(z, x, label, training=training),
            log_prior=self.log_prior(z, training=training),
            log_posterior=log_posterior,
            kl_per_dimension=kl and kl(params),
            z=z,
            weight=weight,
            params=params,
            posterior=self.posterior,
            prior=self.prior,
            step=self.optimizer.iterations if training else None,
            scale_z_gradient=scale_z_gradient,
        )

    def log_likelihood(self, z, x, label=None, *, training=False):
        """How likely images are given latents, log p(x|z).

        Args:
            z: float (S, B, latent_dim).
            x: float (B, H, W, C) in [0, 1].
            label: int (B,), for a conditional model.
            training: bool, passed to the decoder.

        Returns:
            float (S, B), in nats.
        """
        num_samples = z.shape[0]
        rows = ops.reshape(z, (-1, self.latent_dim))  # (S * B, D)
        if self.num_classes is not None and num_samples > 1:
            label = ops.tile(label, [num_samples])
        output = self.decoder(self._inputs(rows, label), training=training)
        output = ops.reshape(
            ops.cast(output, "float32"),
            (num_samples, -1, *self.decoder.output_shape[1:]),
        )  # (S, B, H, W, C * K)
        return self.likelihood.log_prob(output, x)

    def log_prior(self, z, *, training=False):
        """The log density of the prior, float (...,) for z (..., latent_dim), nats."""
        if not hasattr(self.prior, "pseudo_inputs"):
            return self.prior.log_prob(z)
        return self.prior.log_prob(z, self._prior_components(training))

    def _prior_components(self, training=False):
        """The posterior at a VampPrior's pseudo-inputs: its parameters, (K, D) each."""
        images = self.prior.pseudo_inputs()
        label = ops.arange(images.shape[0], dtype="int64") % (self.num_classes or 1)
        return self.posterior.split(self._params(images, label, training))

    def refresh_prior(self):
        """Brings `prior.from_noise` up to date with the encoder.

        Called before every use of `from_noise`; only a VampPrior needs it, which is
        made of posteriors.
        """
        if hasattr(self.prior, "pseudo_inputs"):
            self.prior.remember(self._prior_components())

    def call(self, inputs, training=False):
        """Reconstructs images: the likelihood's mean at the posterior's mean."""
        x, label = inputs if isinstance(inputs, list | tuple) else (inputs, None)
        params = self._params(self._scaled(x), label, training)
        z = self._inputs(self.posterior.mean(params), label)
        return self._mean(self.decoder(z, training=training))

    def _mean(self, output):
        return self.likelihood(ops.cast(output, "float32"))

    def _scaled(self, x):
        """Images as float32 (B, H, W, C) in [0, 1]; integers are taken as 0 to 255."""
        x = ops.convert_to_tensor(x)
        scale = 255.0 if keras.backend.is_int_dtype(x.dtype) else 1.0
        return ops.reshape(ops.cast(x, "float32") / scale, (-1, *self.image_shape))

    def _observed(self, x):
        """What the model is to explain: scaled images, binarised by the protocol."""
        x = self._scaled(x)
        if self.binarization == "dynamic":
            x = ops.cast(standard_uniform(ops.shape(x), self.pixel_noise) < x, x.dtype)
        return x

    # === Training ===

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
                `"auto"` chooses about 0.2 seconds' worth; 1 is the stock Keras loop.
                It changes the speed, not the result.
            jit_compile: Whether XLA compiles the steps; `"auto"` is yes, but for
                convolutions on a CPU, where XLA is slow. It changes the noise that a
                seed gives.
            **kwargs: Passed to `keras.Model.compile`.
        """
        self._steps_per_execution = steps_per_execution
        self._stock_steps = 1 if steps_per_execution == "auto" else steps_per_execution
        if jit_compile == "auto" and not tf.distribute.has_strategy():
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
        }

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    @property
    def metrics(self):
        return [*self._trackers]

    def train_step(self, data):
        """One optimiser step on one batch; returns the metrics so far."""
        x, label, weight = _unpack(data)
        with tf.GradientTape() as tape:
            terms = self.terms(self._observed(x), label, weight, training=True)
            losses = self.objective.loss(terms)  # (B,)
            loss = _weighted_mean(losses, weight) + sum(self.losses)
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_weights)
        self.optimizer.apply_gradients(
            zip(gradients, self.trainable_weights, strict=True)
        )
        return self._update_metrics(terms, losses)

    def test_step(self, data):
        """The metrics of one batch, without training."""
        x, label, weight = _unpack(data)
        terms = self.terms(self._observed(x), label, weight)
        return self._update_metrics(terms, self.objective.loss(terms))

    def _update_metrics(self, terms, losses):
        log_likelihood = ops.mean(terms.log_likelihood, axis=0)
        values = (losses, terms.elbo, log_likelihood, terms.kl_divergence)  # each (B,)
        for tracker, value in zip(self._trackers, values, strict=True):
            tracker.update_state(value, sample_weight=terms.weight)
        return self.get_metrics_result()

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
            batch_size: int, images in an optimiser step; default 32.
            epochs: int, the epoch to train up to.
            callbacks: A list of `keras.callbacks.Callback`.
            **kwargs: Passed to `keras.Model.fit`.

        Returns:
            `keras.callbacks.History`.

        Raises:
            DataError: If `x` holds no image, or pixels that are neither in [0, 255]
                as integers nor in [0, 1] as floats.
        """
        batch_size = batch_size or 32
        split = kwargs.pop("validation_split", 0.0)
        validation_data = kwargs.pop("validation_data", None)
        steps = kwargs.pop("steps_per_epoch", None)
        self._fused = False
        self.steps_per_execution = self._stock_steps
        if _is_array(x):
            x, y = self._arrays(x, y)
            if split and validation_data is None:
                number = int(len(x) * (1 - split))
                validation_data = (x[number:], y[number:])
                x, y = x[:number], y[:number]
            if kwargs.get("sample_weight") is None and kwargs.get("shuffle", True):
                x, y, steps = self._own_batches(
                    x, y, batch_size, steps, kwargs.get("initial_epoch", 0)
                )
        elif isinstance(x, tf.data.Dataset) and not tf.distribute.has_strategy():
            x, steps = self._sliced(x, steps)
        if not _is_array(x):  # has its own batches and order
            batch_size, kwargs["shuffle"] = None, False
        if validation_data is not None:
            size = kwargs.get("validation_batch_size") or batch_size or 32
            validation_data, kwargs["validation_steps"] = self._evaluation_data(
                validation_data, size, kwargs.get("validation_steps")
            )
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
        if self.run_eagerly or tf.distribute.has_strategy():
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
        if not kwargs.get("_use_cached_eval_dataset"):  # else `fit` has prepared it
            self.steps_per_execution = self._stock_steps
            data = x if y is None else (x, y)
            x, kwargs["steps"] = self._evaluation_data(
                data, batch_size or 32, kwargs.get("steps"), choose=True
            )
        with self.noise_of(EVALUATION_SEED):
            return super().evaluate(x, **kwargs)

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

    def _arrays(self, x, y):
        """Checked images (N, H, W, C) and labels (N,), zeros where there are none."""
        images = np.asarray(x)
        if not len(images) or images[0].size != np.prod(self.image_shape):
            raise DataError(
                f"Expected images of shape (N, {str(self.image_shape)[1:-1]}) with "
                f"N >= 1; got {images.shape}."
            )
        if images.dtype != np.uint8:
            highest = 1 if images.dtype.kind == "f" else 255
            low, high = images.min(), images.max()
            if not (low >= 0 and high <= highest):  # also refuses NaN
                raise DataError(
                    f"Expected {images.dtype} pixels in [0, {highest}]; got values "
                    f"from {low} to {high}. Scale the images, or pass uint8."
                )
            images = images.astype("float32" if highest == 1 else "uint8")
        if self.num_classes is None or y is None:
            labels = np.zeros(len(images), np.int64)
        else:
            labels = np.asarray(y).reshape(-1).astype(np.int64)
        return images.reshape(-1, *self.image_shape), labels

    def _evaluation_data(self, data, batch_size, steps, choose=False):
        """Batches to evaluate and their number, in slices of as many as in training."""
        self._fused_test = False
        x, *y = data if isinstance(data, list | tuple) else (data,)
        if _is_array(x):
            images, labels = self._arrays(x, *y[:1] or [None])
            if self.binarization == "dynamic":
                images = binarize(images)
            dataset = pipeline.evaluation_batches(images, labels, batch_size)
        elif isinstance(x, tf.data.Dataset) and not tf.distribute.has_strategy():
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

    # === What a trained model is for ===

    def encode(self, x, label=None) -> np.ndarray:
        """The mean of q(z|x).

        Args:
            x: uint8 (N, H, W, C), or float in [0, 1].
            label: int (N,), for a conditional model.

        Returns:
            float32 (N, latent_dim).
        """
        x, label = self._arrays(x, label)
        return self._batched(self._encode_batch, x, label)

    def decode(self, z, label=None) -> np.ndarray:
        """The mean image of p(x|z).

        Args:
            z: float (N, latent_dim).
            label: int (N,), for a conditional model.

        Returns:
            float32 (N, H, W, C) in [0, 1].
        """
        z = np.asarray(z, np.float32)
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise UsageError(f"z must be (N, {self.latent_dim}); got {z.shape}.")
        if label is None and self.num_classes is None:
            label = np.zeros(len(z), np.int64)
        return self._batched(self._decode_batch, z, label)

    def reconstruct(self, x, label=None) -> np.ndarray:
        """Encodes images to the mean of q(z|x) and decodes that.

        Args:
            x: uint8 (N, H, W, C), or float in [0, 1].
            label: int (N,), for a conditional model.

        Returns:
            float32 (N, H, W, C) in [0, 1].
        """
        return self.decode(self.encode(x, label), label)

    def generate(self, num_images: int, seed: int = 0, label=None) -> np.ndarray:
        """Mean images of prior draws.

        The draws come from `portable_normal`, so that an exported decoder gives the
        same images for the same seed in any runtime, and image k does not depend on
        `num_images`.

        Args:
            num_images: int N >= 1.
            seed: int in [0, 2**24).
            label: int or int (N,), for a conditional model; default: 0, 1, 2, ... again
                and again.

        Returns:
            float32 (N, H, W, C) in [0, 1].

        Raises:
            UsageError: If a number is out of range.
        """
        seed = portable_normal.check_seed(seed)
        num_images = whole_number("num_images", num_images)
        if label is None:
            label = np.arange(num_images) % (self.num_classes or 1)
        label = np.broadcast_to(label, num_images).astype(np.int64)
        self.refresh_prior()
        z = [
            self.prior.from_noise(
                *portable_normal.noise(
                    seed,
                    min(ROWS, num_images - start),
                    self.latent_dim,
                    first_image=start,
                )
            )
            for start in range(0, num_images, ROWS)  # in pieces that stay in the cache
        ]
        return self.decode(np.concatenate(z), label)

    @functools.cached_property
    def _encode_batch(self):
        return tf.function(
            lambda x, label: self.posterior.mean(self._params(self._scaled(x), label)),
            reduce_retracing=True,
        )

    @functools.cached_property
    def _decode_batch(self):
        return tf.function(
            lambda z, label: self._mean(self.decoder(self._inputs(z, label))),
            reduce_retracing=True,
        )

    @staticmethod
    def _batched(function, *arrays):
        parts = [
            function(*(array[start : start + ROWS] for array in arrays)).numpy()
            for start in range(0, len(arrays[0]), ROWS)
        ]
        return np.concatenate(parts)

    # === Saving ===

    def get_config(self):
        parts = ("encoder", "decoder", "posterior", "prior", "likelihood", "objective")
        return {
            "name": self.name,
            **{
                part: keras.saving.serialize_keras_object(getattr(self, part))
                for part in parts
            },
            "num_samples": self.num_samples,
            "num_classes": self.num_classes,
            "binarization": self.binarization,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))


def build_vae(
    config: TrainConfig,
    image_shape: tuple[int, int, int],
    num_classes: int | None = None,
    *,
    num_images: int,
    data_mean: np.ndarray | None = None,
) -> VAE:
    """The model that a config describes, with fresh weights, not compiled.

    Args:
        config: The options of the run.
        image_shape: (H, W, C) of the data.
        num_classes: int, the labels of the data; used where `config.conditional`.
        num_images: int, of the training data.
        data_mean: float (H, W, C) in [0, 1], the mean training image; used where
            `config.output_bias`.

    Returns:
        `VAE`; the same arguments give the same weights.

    Raises:
        UsageError: If an option does not go with the others.
    """
    if not config.conditional:
        num_classes = None
    elif num_classes is None:
        raise UsageError("A conditional model needs labels; the data set has none.")
    posterior = POSTERIORS[config.posterior](config.latent_dim, seed=config.seed)
    likelihood = LIKELIHOODS[config.likelihood]()
    output_bias = None
    if config.output_bias and data_mean is not None:
        output_bias = likelihood.output_bias(data_mean)
    with _precision(config.precision):
        encoder, decoder = NETWORKS[config.network](
            image_shape,
            config.latent_dim,
            posterior_params=posterior.num_params,
            likelihood_params=likelihood.num_params,
            hidden=config.hidden,
            activation=config.activation,
            num_classes=num_classes,
            output_bias=output_bias,
            seed=config.seed,
        )
    return VAE(
        encoder,
        decoder,
        posterior=posterior,
        prior=config.prior,
        likelihood=likelihood,
        objective=_objective(config, num_images),
        num_samples=config.num_samples,
        num_classes=num_classes,
        binarization=config.binarization,
        seed=config.seed,
        name="vae",
    )


@contextlib.contextmanager
def _precision(name):
    """Layers made here multiply in `name`; their weights are float32 all the same."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if name == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _objective(config, num_images):
    """The objective with those options that were given."""
    steps = math.ceil(num_images / config.batch_size)
    given = {
        "beta": config.beta,
        "warmup_steps": round(config.kl_warmup * steps) or None,
        "free_bits": config.free_bits or None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    objective = OBJECTIVES[config.objective]
    known = inspect.signature(objective).parameters
    for name in given:
        if name not in known:
            raise UsageError(
                f"The objective {config.objective} has no {name}; leave that option "
                "out, or choose the objective elbo."
            )
    if "num_images" in known:
        given["num_images"] = num_images
    return objective(**given)


def load_run(run: Path | str) -> tuple[VAE, TrainConfig]:
    """The trained model of a run folder.

    The model is built from `config.json`, and only arrays are read from `model.keras`:
    no code in the file is run.

    Args:
        run: The run folder.

    Returns:
        The model with its trained weights, in float32, and the config of the run.

    Raises:
        ModelError: If the folder holds no complete run.

    Example:
        >>> vae, config = load_run("saved_models/vae")
    """
    run = Path(run)
    for name in ("config.json", "model.keras"):
        if not (run / name).is_file():
            raise ModelError(
                f"{run} is not a finished run: it has no {name}. Train one with "
                "python -m keras_vae.train."
            )
    text = (run / "config.json").read_text(encoding="utf-8")
    config = TrainConfig.from_json(text)
    data = json.loads(text)["data"]
    vae = build_vae(
        dataclasses.replace(config, precision="float32"),
        tuple(data["image_shape"]),
        data["num_classes"],
        num_images=data["num_images"],
    )
    try:
        vae.load_weights(run / "model.keras")
    except (ValueError, OSError, KeyError) as error:
        raise ModelError(
            f"{run / 'model.keras'} does not hold the weights that config.json "
            f"describes: {error}."
        ) from error
    return vae, config


def _part(value, table, kind, **kwargs):
    """A component: made by name, read from a config dict, or taken as it is."""
    if isinstance(value, str):
        if value not in table:
            raise unknown(kind, value, table)
        return table[value](**kwargs)
    if isinstance(value, dict):
        return keras.saving.deserialize_keras_object(value)
    return value


def _shapes(shape):
    return shape if isinstance(shape, list) else [shape]


def _only_shape(network, name, num_classes):
    """The shape, without the batch axis, of a network's first input."""
    if not getattr(network, "built", False):
        raise UsageError(f"The {name} must be built; begin it with keras.Input(shape).")
    shapes = _shapes(network.input_shape)
    expected = 1 if num_classes is None else 2
    if len(shapes) != expected:
        raise UsageError(
            f"The {name} must take {expected} input(s) for num_classes={num_classes}; "
            f"it takes {len(shapes)}."
        )
    return tuple(shapes[0][1:])


def _unpack(data):
    """Images, labels and weights (or None) of a batch in any form Keras accepts."""
    if isinstance(data, dict):  # as tensorflow-datasets gives them
        return data["image"], data.get("label"), None
    return keras.utils.unpack_x_y_sample_weight(data)


def _weighted_mean(values, weight):
    """The mean of values (B,) over the images that count."""
    if weight is None:
        return ops.mean(values)
    weight = ops.cast(weight, values.dtype)
    return ops.sum(weight * values) / ops.maximum(ops.sum(weight), 1.0)


def _has_convolutions(model):
    kernels = [weight for weight in model.weights if weight.name == "kernel"]
    return any(len(kernel.shape) > 2 for kernel in kernels)


def _is_array(x):
    return isinstance(x, np.ndarray | tf.Tensor)


def _is_fused(function):
    return isinstance(function, FusedFunction)
