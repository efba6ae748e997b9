"""The variational autoencoder: encoder, posterior, prior, decoder, likelihood, joined.

Read top to bottom: the parts, the pass through them (`terms`), one training step, then
what a user asks of a trained model, and how it is saved, built and loaded.
"""

import functools

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_vae import parts
from keras_vae.data import checks
from keras_vae.data.binarization import BINARIZATIONS, binarize
from keras_vae.distributions.latents import Latents
from keras_vae.distributions.likelihoods import Likelihood
from keras_vae.distributions.noise import standard_uniform
from keras_vae.distributions.portable_noise import check_seed
from keras_vae.distributions.sampling import in_float32
from keras_vae.distributions.table import LIKELIHOODS
from keras_vae.errors import UsageError, whole_number
from keras_vae.networks.top_down import TopDown
from keras_vae.objectives.table import OBJECTIVES, check_latents
from keras_vae.objectives.terms import Objective, Terms, share_of_mean
from keras_vae.replicas import num_replicas
from keras_vae.training.in_pieces import ROWS, InPieces
from keras_vae.training.trainer import FusedModel


@keras.saving.register_keras_serializable(package="keras_vae")
class VAE(FusedModel):
    """A variational autoencoder (Kingma & Welling 2014, Rezende et al. 2014).

    Maximizes the evidence lower bound on log p(x), in nats per image:

        elbo = E_{q(z|x)}[log p(x|z)] - KL(q(z|x) || p(z))  <=  log p(x)

    It is an ordinary Keras model: `compile`, `fit`, `evaluate`, `predict`, `save`.
    Images are uint8, or float in [0, 1]; labels are used by conditional models only.

    Args:
        encoder: A `keras.Model`: x (B, H, W, C) -> posterior parameters (B, P), or the
            pair [mean, log_var], each (B, latent_dim). A conditional one takes
            [x, label].
        decoder: A `keras.Model`: z (B, latent_dim) -> likelihood parameters
            (B, H, W, C * K), logits for `"bernoulli"`. A conditional one takes
            [z, label].
        image_shape: (H, W, C), and
        latent_dim: int, for networks of your own class that were never called.
        posterior, prior, likelihood, objective: Each a name in its table (`POSTERIORS`
            and so on), a config dict, or an instance.
        latents: `Latents` of several levels, in place of `posterior` and `prior`.
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
        latents: Latents | None = None,
        num_samples: int = 1,
        num_classes: int | None = None,
        binarization: str = "grey",
        seed: int = 0,
        image_shape: tuple[int, int, int] | None = None,
        latent_dim: int | None = None,
        **kwargs,
    ):
        parts.check_keywords(kwargs, VAE)
        super().__init__(**kwargs)
        self.encoder, self.decoder = parts.networks(
            encoder, decoder, image_shape, latent_dim, num_classes
        )
        self.image_shape = self.encoder.inputs[0].shape[1:]
        self.latent_dim = self.decoder.inputs[0].shape[1]
        self.num_samples, self.num_classes = num_samples, num_classes
        self.binarization = parts.choice("binarization", binarization, BINARIZATIONS)
        self.seed, self.pixel_noise = seed, keras.random.SeedGenerator(seed)
        of_one = posterior, prior, self.latent_dim, seed
        self.latents = latents = parts.latents(latents, *of_one)
        self.posterior, self.prior = latents.posterior, latents.prior  # to be tracked
        self.likelihood = parts.component(likelihood, LIKELIHOODS, Likelihood)
        self.objective = parts.component(objective, OBJECTIVES, Objective)
        check_latents(self.objective, latents)
        self.couples_images = self.objective.couples_images
        parts.check_encoder(self.encoder, latents.num_params, self.latent_dim)
        parts.check_decoder(self.decoder, self.image_shape, self.likelihood, latents)
        parts.build(self)
        self.built = True

    __repr__ = parts.described

    # === One pass ===

    def _inputs(self, x, label, num_samples=1):
        """What a network takes: x or S samples of z, with the label if conditional."""
        if self.num_classes is None:
            return x
        if label is None:
            raise UsageError(checks.NO_LABEL)
        return [x, ops.tile(label, [num_samples]) if num_samples > 1 else label]

    def _params(self, x, label=None, training=False):
        """The encoder's output as one tensor, (B, P)."""
        params = self.encoder(self._inputs(x, label), training=training)
        if isinstance(params, list | tuple):
            params = ops.concatenate(params, axis=-1)
        return in_float32(params)

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
        found = self.latents.infer(
            params,
            num_samples or self.num_samples,
            functools.partial(self._components, training=training),
            functools.partial(self._top_down, label=label, training=training),
            scalable=training and self.objective.doubly_reparameterized,
        )
        known = {"output": found.output, "training": training}
        return Terms(
            **found._asdict(),
            log_likelihood=self.log_likelihood(found.z, x, label, **known),
            weight=weight,
            params=params,
            posterior=self.posterior,
            prior=self.prior,
            step=self.optimizer.iterations if training else None,
        )

    def log_likelihood(self, z, x, label=None, *, output=None, training=False):
        """How likely images are given latents, log p(x|z).

        Args:
            z: float (S, B, latent_dim).
            x: float (B, H, W, C) in [0, 1].
            label: int (B,), for a conditional model.
            output: The decoder's for z, (S * B, H, W, C * K), where it is known.
            training: bool, passed to the decoder.

        Returns:
            float (S, B), in nats.
        """
        num_samples = z.shape[0]
        if output is None:
            rows = ops.reshape(z, (-1, self.latent_dim))  # (S * B, D)
            rows = self._inputs(rows, label, num_samples)
            output = self.decoder(rows, training=training)
        shape = (num_samples, -1, *self.decoder.output_shape[1:])  # (S, B, H, W, C * K)
        return self.likelihood.log_prob(ops.reshape(in_float32(output), shape), x)

    def _top_down(self, draw, num_samples=1, *, label=None, training=False):
        """Runs a decoder of several levels; see `TopDown.run`."""
        return TopDown.of(self.decoder).run(
            draw, lambda z: self._inputs(z, label, num_samples), training
        )

    def _encoded(self, x, label=None, training=False):
        """Where images are encoded, (B, D)."""
        decode = functools.partial(self._top_down, label=label, training=training)
        return self.latents.mean(self._params(x, label, training), decode)

    def _components(self, images, training=False):
        """The posterior at images of a prior's own: its parameters, (K, D) each."""
        label = ops.arange(images.shape[0], dtype="int64") % (self.num_classes or 1)
        return self.posterior.split(self._params(images, label, training))

    def refresh_prior(self):
        """Brings a prior that is made of posteriors up to date, before its draws."""
        self.prior.refresh(self._components)

    def call(self, inputs, training=False):
        """Reconstructs images: the likelihood's mean at the posterior's mean."""
        x, label = inputs if isinstance(inputs, list | tuple) else (inputs, None)
        z = self._inputs(self._encoded(self._scaled(x), label, training), label)
        return self._mean(self.decoder(z, training=training))

    def _mean(self, output):
        # `mean`, not a call of the layer, which would cast to a mixed policy's dtype
        return self.likelihood.mean(ops.cast(output, "float32"))

    def _observed(self, x):
        """What the model is to explain: scaled images, binarized by the protocol."""
        x = self._scaled(x)
        if self.binarization == "dynamic":
            noise = standard_uniform(ops.shape(x), self.pixel_noise, 2, axis=0)
            x = ops.cast(noise < x, x.dtype)
        return x

    # === Training ===

    def train_step(self, data):
        """One optimizer step on one batch; returns the metrics so far."""
        x, label, weight = keras.utils.unpack_x_y_sample_weight(data)
        self._clear_losses()  # of an earlier trace
        with tf.GradientTape() as tape:
            terms = self.terms(self._observed(x), label, weight, training=True)
            losses = self.objective.loss(terms)  # (B,)
            added = sum(self.losses)  # regularizers, and what a layer's call adds
            loss = share_of_mean(losses, weight) + added / num_replicas()
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_weights)
        self.optimizer.apply(gradients, self.trainable_weights)
        return self.track(terms, losses + added)

    def test_step(self, data):
        """The metrics of one batch, without training."""
        x, label, weight = keras.utils.unpack_x_y_sample_weight(data)
        self._clear_losses()
        terms = self.terms(self._observed(x), label, weight)
        return self.track(terms, self.objective.loss(terms) + sum(self.losses))

    @property
    def preparation(self):  # before evaluation images are binarized once and for all
        return binarize if self.binarization == "dynamic" else None

    # === What a trained model is for ===

    def encode(self, x, label=None) -> np.ndarray:
        """The mean of q(z|x).

        Args:
            x: uint8 (N, H, W, C), or float in [0, 1].
            label: int (N,), for a conditional model.

        Returns:
            float32 (N, latent_dim).
        """
        return self._encode(*checks.checked_arrays(x, label, self.image_spec))

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
        label = checks.checked_labels(label, len(z), self.image_spec)
        return self._decode(z, label)

    def reconstruct(self, x, label=None) -> np.ndarray:
        """Encodes images to the mean of q(z|x) and decodes that, (N, H, W, C)."""
        return self.decode(self.encode(x, label), label)

    def generate(
        self, num_images: int, seed: int = 0, label=None, temperature: float = 1.0
    ) -> np.ndarray:
        """Mean images of prior draws.

        An exported decoder gives the same images for the same seed in any runtime;
        image k does not depend on `num_images`.

        Args:
            num_images: int N >= 1.
            seed: int in [0, 2**24).
            label: int or int (N,), for a conditional model only; None: all in turn.
            temperature: float in [0, 10], by which the noise is multiplied.

        Returns:
            float32 (N, H, W, C) in [0, 1].

        Raises:
            UsageError: If a number is out of range, or the model takes no label.
        """
        seed = check_seed(seed)
        num_images = whole_number("num_images", num_images)
        label = checks.labels_in_turn(label, num_images, self.num_classes)
        self.refresh_prior()
        draw = functools.partial(self.latents.draw, seed, temperature=temperature)
        starts = range(0, num_images, ROWS)  # in pieces that stay in the cache
        z = [draw(min(ROWS, num_images - k), first_image=k) for k in starts]
        return self.decode(np.concatenate(z), label)

    @functools.cached_property
    def _encode(self):
        return InPieces(lambda x, label: self._encoded(self._scaled(x), label), self)

    @functools.cached_property
    def _decode(self):
        return InPieces(lambda *z: self._mean(self.decoder(self._inputs(*z))), self)

    # === Saving ===

    def export(self, filepath, format="tf_saved_model", **kwargs):
        """Writes x -> reconstruction; `export.export_decoder` writes the decoder."""
        kwargs.setdefault("input_signature", parts.export_signature(self.encoder))
        super().export(filepath, format, **kwargs)

    def get_config(self):
        names = ("encoder", "decoder", "latents", "likelihood", "objective")
        parts_of_it = {name: getattr(self, name) for name in names}
        return {
            "name": self.name,
            **keras.saving.serialize_keras_object(parts_of_it),
            "num_samples": self.num_samples,
            "num_classes": self.num_classes,
            "binarization": self.binarization,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))
