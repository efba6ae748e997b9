"""Latents of several levels, as one flat tensor of noise.

The decoder reparameterizes every level: z_l = mean_l + scale_l * e_l, mean and scale
being functions of the levels above it. The flat z holds the noise e_l of every level
side by side, from the top on, where it is z itself. In these coordinates the prior of
each lower level is N(0, I), and the posterior, N(mean, exp(log_var)) of e_l given x and
the levels above, is a residual on it (Vahdat & Kautz 2020, section 3.2). The densities
of z_l follow by a factor of scale_l in both, so that their ratio, and the KL divergence

    KL(q(z_l|x, z_above) || p(z_l|z_above)) = KL(q(e_l|x, z_above) || N(0, I)),

are the same, and to everything outside there is one z.
"""

from collections.abc import Sequence
from itertools import accumulate

import keras
from keras import ops

from keras_vae.distributions.divergences import kl_to_standard_normal
from keras_vae.distributions.latents import Inference, Latents
from keras_vae.distributions.noise import standard_normal
from keras_vae.distributions.normal import normal_log_prob
from keras_vae.distributions.priors import Prior, StandardNormal
from keras_vae.distributions.sampling import (
    Sampling,
    bound_log_var,
    in_float32,
    reparameterize,
)
from keras_vae.errors import UsageError, whole_number


@keras.saving.register_keras_serializable(package="keras_vae")
class TopDownPosterior(keras.layers.Layer):
    """q(z|x) = q(z_top|x) prod_l q(e_l|x, z_above), each a diagonal Gaussian.

    The encoder's output is mean and log-variance of the top level, then the features of
    each level below it, from the top on. Log-variances are bounded to [-30, 20].

    Args:
        top_dim: int >= 1, the width of the top level.
        networks: For each level below, from the top on, a model [state, features] ->
            [mean, log_var], the state being the decoder's.
        seed: int or None, for the noise.
        **kwargs: Passed to `keras.layers.Layer`.

    Attributes:
        widths: Of the levels, from the top on.
        latent_dim: int D, their sum.
        num_params: int P, the width of the encoder's output.

    Raises:
        UsageError: If `top_dim` is not a positive integer, or there is no network.

    Example:
        >>> networks = levels(
        ...     mlp, (28, 28, 1), (40, 20), likelihood_params=1, activation="relu",
        ...     hidden=(300,)
        ... )
        >>> posterior = TopDownPosterior(40, networks.posteriors)
        >>> posterior.widths
        [40, 20]
    """

    has_log_prob = False
    factorizes = False
    is_gaussian = True  # each level, given those above

    def __init__(
        self,
        top_dim: int,
        networks: Sequence[keras.Model],
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        top_dim = whole_number("top_dim", top_dim)
        if not networks:
            raise UsageError("Several levels need a network for each below the top.")
        self.seed, self.networks = seed, list(networks)
        self.sampling = Sampling(seed)
        self.widths = [top_dim, *(n.outputs[0].shape[1] for n in self.networks)]
        self.latent_dim = sum(self.widths)
        sizes = [2 * top_dim, *(n.inputs[1].shape[1] for n in self.networks)]
        *self._ends, self.num_params = accumulate(sizes)
        self.built = True

    def split(self, params):
        """Mean and log-variance of the top level, each (..., D_top), of (..., P)."""
        mean, log_var = ops.split(params[..., : self._ends[0]], 2, axis=-1)
        return mean, bound_log_var(log_var)

    def below(self, params) -> list:
        """The features of each level below the top, of the encoder's output (B, P)."""
        return ops.split(params, self._ends, axis=-1)[1:]

    def level(self, number: int, state, features):
        """Mean and log-variance of a level's noise, each (B, D_l).

        Args:
            number: int from 1, where 0 is the top.
            state: The decoder's, of all levels above.
            features: float (B, F), of x.
        """
        mean, log_var = self.networks[number - 1]([state, features])
        return in_float32(mean), bound_log_var(in_float32(log_var))

    def get_config(self):
        return {
            **super().get_config(),
            "top_dim": self.widths[0],
            "networks": [
                keras.saving.serialize_keras_object(network)
                for network in self.networks
            ],
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        networks = keras.saving.deserialize_keras_object(config["networks"])
        return cls(**config | {"networks": networks})


@keras.saving.register_keras_serializable(package="keras_vae")
class TopPrior(Prior):
    """A prior of the top level, above levels whose noise is standard normal.

    Args:
        latent_dim: int, the width of all levels together.
        top: The `Prior` of the top level.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If the top level is not narrower than all together.

    Example:
        >>> prior = TopPrior(80, GaussianMixture(40, num_components=10))
        >>> tuple(prior.sample(64, seed=7).shape)
        (64, 80)
    """

    def __init__(self, latent_dim: int, top: Prior, **kwargs):
        super().__init__(latent_dim, **kwargs)
        if top.latent_dim >= self.latent_dim:
            raise UsageError(
                f"The top level's latent_dim must be less than {self.latent_dim}, that "
                f"of all levels; got {top.latent_dim}."
            )
        self.top = top
        self.made_of_posteriors = top.made_of_posteriors
        self.draws_in_training = top.draws_in_training

    def build(self, input_shape):
        if not self.top.built:
            self.top.build(input_shape)
        self.built = True

    def log_prob(self, z, encode=None):
        top, below = ops.split(z, [self.top.latent_dim], axis=-1)
        log_below = ops.sum(normal_log_prob(below), axis=-1)
        return self.top.log_prob(top, self._of_top(encode)) + log_below

    def from_noise(self, normal, uniform):
        top, below = ops.split(normal, [self.top.latent_dim], axis=-1)
        return ops.concatenate([self.top.from_noise(top, uniform), below], axis=-1)

    def refresh(self, encode):
        self.top.refresh(self._of_top(encode))

    def _of_top(self, encode):
        """`encode`, of which the top level's part is taken, where it gives more."""
        width = self.top.latent_dim
        if encode is None:
            return None
        return lambda images: [part[..., :width] for part in encode(images)]

    def start_at(self, z, generator):
        self.top.start_at(z[:, : self.top.latent_dim], generator)

    def get_config(self):
        top = keras.saving.serialize_keras_object(self.top)
        return {**super().get_config(), "top": top}

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))


def above(top: Prior, latent_dim: int) -> Prior:
    """The prior of all levels, given that of the top one.

    Args:
        top: Of the top level.
        latent_dim: int, the width of all levels together.

    Returns:
        `StandardNormal` where all levels are, else `TopPrior`.
    """
    if type(top) is StandardNormal:
        return StandardNormal(latent_dim)
    return TopPrior(latent_dim, top)


@keras.saving.register_keras_serializable(package="keras_vae")
class Levels(Latents):
    """z in several levels, each drawn given those above: q and p run top-down together.

    Sonderby et al. (2016). The decoder must be one of `TopDown.as_decoder`. KL
    divergences are by level, from the top on: in closed form given the levels above,
    but for a top level whose prior is not standard normal.

    Args:
        posterior: A `TopDownPosterior`.
        prior: Of all levels; see `above`.

    Raises:
        UsageError: If the two do not go together.

    Example:
        >>> networks = levels(
        ...     mlp, (28, 28, 1), (40, 20), likelihood_params=1, activation="relu",
        ...     hidden=(300,)
        ... )
        >>> posterior = TopDownPosterior(40, networks.posteriors, seed=0)
        >>> latents = Levels(posterior, above(VampPrior(40), 60))
        >>> vae = VAE(networks.encoder, networks.decoder, latents=latents)
    """

    def __init__(self, posterior: TopDownPosterior, prior: Prior):
        super().__init__(posterior, prior)
        top = posterior.widths[0]
        if type(prior) is not StandardNormal and not (
            isinstance(prior, TopPrior) and prior.top.latent_dim == top
        ):
            raise UsageError(
                "The prior of several levels must be a StandardNormal, or a TopPrior "
                f"whose top level is {top} wide; got {type(prior).__name__}."
            )

    @property
    def networks(self):
        return self.posterior.networks

    def infer(self, params, num_samples, encode=None, decode=None, *, scalable=False):
        widths, latent_dim = self.posterior.widths, self.latent_dim
        rows = ops.tile(params, [num_samples, 1]) if num_samples > 1 else params
        noise = standard_normal(
            (num_samples, ops.shape(params)[0], latent_dim),
            self.posterior.sampling.seed_generator,
            axis=1,
        )
        *ends, _ = accumulate(widths)
        noises = ops.split(ops.reshape(noise, (-1, latent_dim)), ends, axis=-1)
        z, log_posterior, kl = [], [], []

        def draw(level, mean, log_var):
            z.append(reparameterize(mean, log_var, noises[level]))
            log_q = normal_log_prob(noises[level], log_var)
            log_posterior.append(ops.sum(log_q, axis=-1))
            kl.append(kl_to_standard_normal(mean, log_var))
            return z[-1]

        output = self._run(rows, decode, draw, num_samples)

        def by_sample(values):
            return ops.reshape(values, (num_samples, -1, *values.shape[1:]))

        flat = by_sample(ops.concatenate(z, axis=-1))  # (S, B, D)
        log_prior = self.prior.log_prob(flat, encode)
        if type(self.prior) is not StandardNormal:
            top = self.prior.top.log_prob(by_sample(z[0]), encode)
            kl[0] = log_posterior[0] - ops.reshape(top, (-1,))
        return Inference(
            flat,
            by_sample(sum(log_posterior)),
            log_prior,
            ops.mean(by_sample(ops.stack(kl, axis=-1)), axis=0),
            output=output,
        )

    def mean(self, params, decode=None):
        return self.mean_and_log_var(params, decode)[0]

    @property
    def has_closed_form_kl(self):
        return type(self.prior) is StandardNormal

    def mean_and_log_var(self, params, decode=None):
        """Of every level's noise, given x and the means of the levels above."""
        found = []

        def draw(level, mean, log_var):
            found.append((mean, log_var))
            return mean

        self._run(params, decode, draw)
        mean, log_var = zip(*found, strict=True)
        return ops.concatenate(mean, axis=-1), ops.concatenate(log_var, axis=-1)

    def kl_at_mean(self, params, mean, log_var):
        """The sum over the levels, each given the means of those above.

        In closed form, but for a top level whose prior is not standard normal: that is
        taken at the mean.
        """
        if self.has_closed_form_kl:
            return kl_to_standard_normal(mean, log_var)
        top = self.posterior.widths[0]
        below = kl_to_standard_normal(mean[..., top:], log_var[..., top:])
        log_q = ops.sum(normal_log_prob(0.0, log_var[..., :top]), axis=-1)
        return below + log_q - self.prior.top.log_prob(mean[..., :top])

    def _run(self, params, decode, draw, num_samples=1):
        """The decoder's output, level by level; `draw` makes z of mean and log_var."""
        features = self.posterior.below(params)

        def noise(level, state):
            if level == 0:
                return draw(0, *self.posterior.split(params))
            of_level = features[level - 1]
            return draw(level, *self.posterior.level(level, state, of_level))

        return decode(noise, num_samples)
