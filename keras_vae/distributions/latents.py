"""Latents: posterior, prior, the KL between them, and their order, in one object.

To everything outside (decoder, bundle, runtimes, explorer) z is one flat tensor, the
levels side by side, where there are several.
"""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_vae.distributions.divergences import closed_form_kl
from keras_vae.distributions.portable_noise import check_temperature, noise
from keras_vae.distributions.posteriors import DiagonalGaussian, Posterior
from keras_vae.distributions.priors import Prior
from keras_vae.errors import UsageError


class Inference(NamedTuple):
    """What `Latents.infer` finds out about the images of a batch, in nats.

    Args:
        z: float (S, B, D), the samples.
        log_posterior: float (S, B), log q(z|x).
        log_prior: float (S, B), log p(z).
        kl_by_group: float (B, G), whose sum over the groups (latents, levels) is an
            image's KL divergence; None where it is only known from the samples.
        scale_z_gradient: Takes float (S, B), by which the gradient that arrives at z is
            to be multiplied; None unless it was asked for.
        output: float (S * B, H, W, C * K), the decoder's output for z, where inference
            runs through the decoder.
    """

    z: Any
    log_posterior: Any
    log_prior: Any
    kl_by_group: Any = None
    scale_z_gradient: Callable | None = None
    output: Any = None


class Latents(abc.ABC):
    """What every kind of latents is: q(z|x) and p(z), in one or several levels.

    A subclass has `infer`. Its weights and noise are in two Keras layers, which the
    model tracks and saves. `keras_vae.testing.check_latents` holds it to that.

    Args:
        posterior: The layer that reads the encoder's output, of all levels; a
            `Posterior` where there is one level.
        prior: The `Prior` that makes z of noise, of all levels.

    Attributes:
        latent_dim: int D, the width of the flat z.
        num_params: int P, the width of the encoder's output.

    Raises:
        UsageError: If the two do not go together.
    """

    def __init__(self, posterior: Any, prior: Prior):
        if posterior.latent_dim != prior.latent_dim:
            raise UsageError(
                f"The posterior has latent_dim={posterior.latent_dim} and the prior "
                f"{prior.latent_dim}; they must agree."
            )
        self.posterior = posterior
        self.prior = prior
        self.latent_dim = posterior.latent_dim
        self.num_params = posterior.num_params

    @property
    def networks(self) -> list:
        """The models that `infer` runs for each sample, beside the decoder."""
        return []

    @abc.abstractmethod
    def infer(
        self, params, num_samples: int, encode=None, decode=None, *, scalable=False
    ) -> Inference:
        """Draws z from the posterior and weighs it.

        Args:
            params: float (B, P), the encoder's output.
            num_samples: int S >= 1.
            encode: See `Prior.log_prob`.
            decode: Takes a function that gives each level's noise, and S, and gives
                the decoder's output: see `keras_vae.networks.top_down.TopDown.run`.
                Only latents of several levels look at it.
            scalable: Whether the gradient at z is to be scaled later, and log q(z|x)
                taken with constant parameters, as doubly reparameterized objectives
                need (Tucker et al. 2019); `posterior.has_log_prob` must hold.
        """

    def mean(self, params, decode=None):
        """Where images are encoded, float (B, D), for params (B, P); see `infer`."""
        return self.posterior.mean(params)

    @property
    def has_closed_form_kl(self) -> bool:
        """Whether `kl_at_mean` is a KL divergence, and not an estimate of it."""
        return closed_form_kl(self.posterior, self.prior) is not None

    def mean_and_log_var(self, params, decode=None) -> tuple[Any, Any]:
        """Of a Gaussian posterior: `mean`, and the natural log of the variances.

        Args:
            params: float (B, P), the encoder's output; `posterior.is_gaussian` holds.
            decode: See `infer`.

        Returns:
            Two tensors, float (B, D).
        """
        return self.posterior.mean(params), self.posterior.log_var(params)

    def kl_at_mean(self, params, mean, log_var) -> Any:
        """KL(q(z|x) || p(z)), or what is known of it at the posterior's mean.

        Where `has_closed_form_kl`, it is that. Else it is log q(mean|x) - log p(mean),
        the one-sample estimate of Kingma & Welling (2014), eq. 8, with the mean in
        place of the sample.

        Args:
            params: float (B, P), the encoder's output; `posterior.is_gaussian` holds.
            mean: float (B, D), and
            log_var: float (B, D), as `mean_and_log_var` gives them.

        Returns:
            float (B,), in nats.
        """
        kl = closed_form_kl(self.posterior, self.prior)
        if kl:
            return ops.sum(kl(params), axis=-1)
        return self.posterior.log_prob_of_mean(params) - self.prior.log_prob(mean)

    def draw(self, seed, num_images, *, first_image=0, temperature=1.0, xp=np):
        """The latents of generated images: the same bits in every runtime.

        Image k depends on the seed and k alone. With a prior that is made of
        posteriors, `prior.refresh` comes first.

        Args:
            seed: int or integer tensor, in [0, 2**24).
            num_images: int or integer tensor N.
            first_image: int or integer tensor, where the batch begins.
            temperature: float in [0, 10], by which the noise is multiplied: below 1 for
                likelier images, and fewer kinds of them.
            xp: `numpy`, or `tensorflow` to build the same in a graph.

        Returns:
            float32 (N, D), a NumPy array where `xp` is NumPy.

        Raises:
            UsageError: If an int is out of range.
        """
        normal, uniform = noise(
            seed, num_images, self.latent_dim, first_image=first_image, xp=xp
        )
        if check_temperature(temperature) != 1.0:
            normal = normal * np.float32(temperature)
        z = self.prior.from_noise(normal, uniform)
        return np.asarray(z, np.float32) if xp is np else z

    def get_config(self):
        return {
            name: keras.saving.serialize_keras_object(part)
            for name, part in (("posterior", self.posterior), ("prior", self.prior))
        }

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))


@keras.saving.register_keras_serializable(package="keras_vae")
class OneLevel(Latents):
    """One z between encoder and decoder: any posterior with any prior.

    The KL divergence is taken in closed form where `divergences` knows one, by latent
    or in one number, and is else known from the samples.

    Args:
        posterior: A `Posterior`.
        prior: A `Prior`.

    Raises:
        UsageError: If the two do not go together.

    Example:
        >>> latents = OneLevel(DiagonalGaussian(20, seed=0), StandardNormal(20))
        >>> found = latents.infer(ops.zeros((8, 40)), num_samples=5)
        >>> tuple(found.z.shape), tuple(found.kl_by_group.shape)
        ((5, 8, 20), (8, 20))
    """

    def __init__(self, posterior: Posterior, prior: Prior):
        super().__init__(posterior, prior)
        if prior.made_of_posteriors and type(posterior) is not DiagonalGaussian:
            raise UsageError(
                f"The prior {type(prior).__name__} is a mixture of diagonal_gaussian "
                f"posteriors; got {type(posterior).__name__}."
            )

    def infer(self, params, num_samples, encode=None, decode=None, *, scalable=False):
        z, log_posterior = self.posterior.sample_and_log_prob(params, num_samples)
        scale_z_gradient = None
        if scalable:
            z, scale_z_gradient = scalable_gradient(z)
            log_posterior = self.posterior.log_prob(ops.stop_gradient(params), z)
        kl = closed_form_kl(self.posterior, self.prior)
        return Inference(
            z,
            log_posterior,
            self.prior.log_prob(z, encode),
            kl and kl(params),
            scale_z_gradient,
        )


def scalable_gradient(z):
    """Lets an objective say, later, by what the gradient at z is multiplied.

    Args:
        z: float (S, B, D).

    Returns:
        z, and a function that takes the factors, float (S, B), before the gradient is
        computed. Without a call the gradient is unchanged.
    """
    factors = []

    @ops.custom_gradient
    def identity(z):
        def gradient(upstream):
            return upstream * factors[-1][..., None] if factors else upstream

        return z, gradient

    return identity(z), factors.append
