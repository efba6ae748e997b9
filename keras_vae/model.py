"""The variational autoencoder: encoder, posterior, prior, decoder, likelihood, joined.

Read top to bottom: the parts, the pass through them (`terms`), one training step, then
what a user asks of a trained model, and how it is saved, built and loaded.
"""

import functools
import warnings

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_vae.data.binarization import BINARIZATIONS, binarize
from keras_vae.distributions import portable_noise
from keras_vae.distributions.divergences import closed_form_kl
from keras_vae.distributions.noise import standard_uniform
from keras_vae.distributions.table import LIKELIHOODS, POSTERIORS, PRIORS
from keras_vae.errors import DataError, UsageError, unknown, whole_number
from keras_vae.networks import ends_in_sigmoid
from keras_vae.objectives.table import OBJECTIVES, check_parts
from keras_vae.objectives.terms import Terms, scalable_gradient
from keras_vae.training.trainer import FusedModel

ROWS = 1024  # images encoded or decoded in one call


@keras.saving.register_keras_serializable(package="keras_vae")
class VAE(FusedModel):
    """A variational autoencoder (Kingma & Welling 2014, Rezende et al. 2014).

    Maximizes the evidence lower bound on log p(x), in nats per image:

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
        if self.likelihood.takes_logits and ends_in_sigmoid(decoder):
            warnings.warn(
                "The decoder ends in a sigmoid, but this likelihood takes logits and "
                "applies its own: give the decoder's last layer no activation.",
                stacklevel=2,
            )
        if hasattr(self.prior, "pseudo_inputs") and not self.prior.built:
            self.prior.build(self.image_shape)
        self._trackers = [
            keras.metrics.Mean(name=name)
            for name in ("loss", "elbo", "log_likelihood", "kl_divergence")
        ]
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
        # `mean`, not a call of the layer, which would cast to a mixed policy's dtype
        return self.likelihood.mean(ops.cast(output, "float32"))

    def _scaled(self, x):
        """Images as float32 (B, H, W, C) in [0, 1]; integers are taken as 0 to 255."""
        x = ops.convert_to_tensor(x)
        scale = 255.0 if keras.backend.is_int_dtype(x.dtype) else 1.0
        return ops.reshape(ops.cast(x, "float32") / scale, (-1, *self.image_shape))

    def _observed(self, x):
        """What the model is to explain: scaled images, binarized by the protocol."""
        x = self._scaled(x)
        if self.binarization == "dynamic":
            noise = standard_uniform(ops.shape(x), self.pixel_noise, stream=2)
            x = ops.cast(noise < x, x.dtype)
        return x

    # === Training ===

    @property
    def metrics(self):
        return [*self._trackers]

    def train_step(self, data):
        """One optimizer step on one batch; returns the metrics so far."""
        x, label, weight = _unpack(data)
        self._clear_losses()  # of an earlier trace
        with tf.GradientTape() as tape:
            terms = self.terms(self._observed(x), label, weight, training=True)
            losses = self.objective.loss(terms)  # (B,)
            added = sum(self.losses)  # regularizers, and what a layer's call adds
            loss = _weighted_mean(losses, weight) + added
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_weights)
        self.optimizer.apply_gradients(
            zip(gradients, self.trainable_weights, strict=True)
        )
        return self._update_metrics(terms, losses + added)

    def test_step(self, data):
        """The metrics of one batch, without training."""
        x, label, weight = _unpack(data)
        self._clear_losses()
        terms = self.terms(self._observed(x), label, weight)
        losses = self.objective.loss(terms)
        return self._update_metrics(terms, losses + sum(self.losses))

    def _update_metrics(self, terms, losses):
        log_likelihood = ops.mean(terms.log_likelihood, axis=0)
        values = (losses, terms.elbo, log_likelihood, terms.kl_divergence)  # each (B,)
        for tracker, value in zip(self._trackers, values, strict=True):
            tracker.update_state(value, sample_weight=terms.weight)
        return self.get_metrics_result()

    def arrays(self, x, y):
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
        return images.reshape(-1, *self.image_shape), self._labels(y, len(images))

    def _labels(self, y, number):
        """Checked labels int64 (N,), zeros where the model has no use for them."""
        if self.num_classes is None:
            return np.zeros(number, np.int64)
        if y is None:
            raise UsageError(
                "A conditional VAE needs a label for each image; got none."
            )
        labels = np.asarray(y).reshape(-1).astype(np.int64)
        if len(labels) != number or not np.isin(labels, range(self.num_classes)).all():
            raise DataError(
                f"Expected {number} labels from 0 to {self.num_classes - 1}; got "
                f"{len(labels)}, from {min(labels, default=None)} to "
                f"{max(labels, default=None)}."
            )
        return labels

    def evaluation_images(self, images):
        """What evaluation sees of images: binarized once and for all, if at all."""
        return binarize(images) if self.binarization == "dynamic" else images

    # === What a trained model is for ===

    def encode(self, x, label=None) -> np.ndarray:
        """The mean of q(z|x).

        Args:
            x: uint8 (N, H, W, C), or float in [0, 1].
            label: int (N,), for a conditional model.

        Returns:
            float32 (N, latent_dim).
        """
        x, label = self.arrays(x, label)
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
        label = self._labels(label, len(z))
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
            label: int or int (N,), for a conditional model only; default: 0, 1, 2, ...
                again and again.

        Returns:
            float32 (N, H, W, C) in [0, 1].

        Raises:
            UsageError: If a number is out of range, or the model takes no label.
        """
        seed = portable_noise.check_seed(seed)
        num_images = whole_number("num_images", num_images)
        if label is None:
            label = np.arange(num_images) % (self.num_classes or 1)
        elif self.num_classes is None:
            raise UsageError("This model is not conditional; leave the label out.")
        label = np.broadcast_to(label, num_images)
        self.refresh_prior()
        z = [
            self.prior.from_noise(
                *portable_noise.noise(
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

    def export(self, filepath, format="tf_saved_model", **kwargs):
        """Writes the reconstruction x -> images; see `keras.Model.export`.

        To generate images the decoder goes out alone: `export.export_decoder`.

        Args:
            filepath: Where to.
            format: One of Keras's formats.
            **kwargs: Passed to `keras.Model.export`.
        """
        if kwargs.get("input_signature") is None:
            signature = [
                keras.InputSpec(shape=tensor.shape, dtype=tensor.dtype, name=name)
                for tensor, name in zip(
                    self.encoder.inputs, ("x", "label"), strict=False
                )
            ]
            conditional = self.num_classes is not None
            kwargs["input_signature"] = [signature] if conditional else signature
        super().export(filepath, format, **kwargs)

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
    begin = {
        "encoder": "x (B, H, W, C); begin it with keras.Input((H, W, C))",
        "decoder": "a flat z (B, latent_dim); begin it with keras.Input((latent_dim,)) "
        "and keras.layers.Reshape to what it needs",
    }
    if len(shapes[0]) != {"encoder": 4, "decoder": 2}[name]:
        raise UsageError(f"The {name} takes {shapes[0]} and must take {begin[name]}.")
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
