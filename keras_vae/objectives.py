"""Objectives: what training minimises, from terms in nats per image.

An objective is a Keras layer (so that its weights, such as beta, are tracked and saved)
with one method,

    loss(terms) -> float (B,), nats per image; the model minimises its weighted mean

`keras_vae.terms.Terms` carries what one pass of the model found. Fields that an
objective does not use cost nothing: the operations behind them are pruned from the
compiled step, so the model fills in all of them and the objective picks. What an
objective needs beyond that, it says in class attributes, which `check_parts` reads:

    posterior_methods         methods that the posterior must have
    doubly_reparameterized    True: the model computes log_posterior with constant
                              parameters and hands over `Terms.scale_z_gradient`
"""

import math

import keras
from keras import ops

from keras_vae.aggregate_objectives import BetaTCVAE, InfoVAE
from keras_vae.errors import UsageError, number, whole_number
from keras_vae.posteriors import DiagonalGaussian
from keras_vae.terms import Terms


@keras.saving.register_keras_serializable(package="keras_vae")
class ELBO(keras.layers.Layer):
    """The negative evidence lower bound; may be weighted, warmed up, with free bits.

    loss = -E_q[log p(x|z)] + beta * warmup(step) * KL(q(z|x) || p(z)). beta = 1 without
    the rest is Kingma & Welling (2014), eq. 3; beta > 1 the beta-VAE of Higgins et al.
    (2017). The warm-up rises linearly from 0 to 1 over `warmup_steps` (Bowman et al.
    2016); with more cycles it is repeated, each rise followed by as many steps at 1
    (Fu et al. 2019), and stays at 1 after the last. It is a function of the optimiser's
    step, so a resumed run goes on where it was, and the loss of validation data is
    taken at the full weight. Free bits (Kingma et al. 2016, eq. 15) replace the KL by
    sum_d max(free_bits, mean over the batch of KL_d), which leaves a latent's first
    nats unpunished; without a closed form per latent, by max(free_bits, KL).

    `beta` and `warmup_steps` are non-trainable variables: assign to them during
    training, and the compiled step follows. Without warm-up at the start there is none
    later.

    Args:
        beta: float >= 0. Use 0 for an autoencoder without the KL term.
        warmup_steps: int >= 0, optimiser steps of a rise; 0 is no warm-up.
        warmup_cycles: int >= 1, number of rises.
        free_bits: float >= 0, in nats.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If a number is out of its range.

    Example:
        >>> terms = Terms(ops.full((1, 4), -90.0), kl_per_dimension=ops.ones((4, 20)))
        >>> ELBO(beta=2.0).loss(terms).numpy().tolist()
        [130.0, 130.0, 130.0, 130.0]
    """

    def __init__(
        self,
        beta: float = 1.0,
        warmup_steps: int = 0,
        warmup_cycles: int = 1,
        free_bits: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._config = {
            "beta": number("beta", beta),
            "warmup_steps": whole_number("warmup_steps", warmup_steps, minimum=0),
            "warmup_cycles": whole_number("warmup_cycles", warmup_cycles),
            "free_bits": number("free_bits", free_bits),
        }
        for name in ("beta", "warmup_steps"):  # read anew at every compiled step
            start = keras.initializers.Constant(self._config[name])
            setattr(self, name, self.add_weight((), start, name=name, trainable=False))
        self.built = True

    def warmup(self, step):
        """The weight at an optimiser step, float in [0, 1]; 1 where `step` is None."""
        if step is None or not self._config["warmup_steps"]:
            return 1.0
        rise = ops.maximum(self.warmup_steps, 1.0)
        cycle = 2.0 * rise  # the rise, then as long at 1
        step = ops.cast(step, "float32")
        last = (self._config["warmup_cycles"] - 1) * cycle
        in_cycle = ops.where(step < last, ops.mod(step, cycle), step - last)
        return ops.minimum(in_cycle / rise, 1.0)

    def loss(self, terms: Terms):
        """The loss of each image, float (B,), in nats."""
        kl = terms.kl_divergence
        if self._config["free_bits"]:
            groups = terms.kl_per_dimension
            groups = kl[:, None] if groups is None else groups  # (B, G)
            mean = _weighted_mean(groups, terms.weight)  # (G,)
            kl = ops.sum(ops.maximum(mean, self._config["free_bits"]))
        log_likelihood = ops.mean(terms.log_likelihood, axis=0)
        return self.beta * self.warmup(terms.step) * kl - log_likelihood

    def get_config(self):
        return {**super().get_config(), **self._config}


@keras.saving.register_keras_serializable(package="keras_vae")
class IWAE(keras.layers.Layer):
    """The importance-weighted bound on log p(x) with S samples.

    loss = -log 1/S sum_s p(x, z_s) / q(z_s|x) (Burda et al. 2015, eq. 8). S is the
    model's `num_samples`; with one sample it is the ELBO, its KL estimated by sampling.

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Example:
        >>> vae = VAE(encoder, decoder, objective="iwae", num_samples=5)
    """

    def loss(self, terms: Terms):
        """The loss of each image, float (B,), in nats."""
        return _negative_log_mean(terms.log_weight)


@keras.saving.register_keras_serializable(package="keras_vae")
class DReG(keras.layers.Layer):
    """The IWAE bound with the doubly reparameterised gradient for the encoder.

    The value is that of `IWAE`. Its encoder gradient is the unbiased estimate
    sum_s w_s^2 (d log p(x, z_s)/q(z_s|x) / d z_s) (d z_s / d encoder), with normalised
    weights w_s (Tucker et al. 2019, eq. 8), whose signal does not fade as S grows, as
    IWAE's does. The decoder and the prior get IWAE's gradient, weighted by w_s.

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Example:
        >>> vae = VAE(encoder, decoder, objective="dreg", num_samples=50)
    """

    posterior_methods = ("log_prob",)
    doubly_reparameterized = True

    def loss(self, terms: Terms):
        """The loss of each image, float (B,), in nats."""
        if terms.scale_z_gradient is not None:
            # the loss brings one w_s to the gradient at z_s, this brings the second
            log_weight = ops.stop_gradient(terms.log_weight)
            log_sum = ops.logsumexp(log_weight, axis=0)
            terms.scale_z_gradient(ops.exp(log_weight - log_sum))  # w_s, (S, B)
        return _negative_log_mean(terms.log_weight)


def check_parts(objective, posterior, prior):
    """Refuses an objective that the posterior or the prior cannot serve.

    Args:
        objective: A layer of this module, or one like it.
        posterior: A layer of `keras_vae.posteriors`.
        prior: A layer of `keras_vae.priors`.

    Raises:
        UsageError: If they do not fit together.

    Example:
        >>> check_parts(DReG(), IAF(20), StandardNormal(20))
        UsageError: The objective DReG needs the posterior's log_prob, which IAF ...
    """
    name = type(objective).__name__
    for method in getattr(objective, "posterior_methods", ()):
        if not hasattr(posterior, method):
            raise UsageError(
                f"The objective {name} needs the posterior's {method}, which "
                f"{type(posterior).__name__} does not have; use diagonal_gaussian."
            )
    if hasattr(prior, "pseudo_inputs"):
        if type(posterior) is not DiagonalGaussian:
            raise UsageError(
                f"The prior {type(prior).__name__} is a mixture of diagonal_gaussian "
                f"posteriors; got {type(posterior).__name__}."
            )
        if isinstance(objective, InfoVAE):
            raise UsageError(
                f"The objective {name} draws from the prior in training, which "
                f"{type(prior).__name__} cannot; use standard_normal or mixture."
            )


def _weighted_mean(values, weight):
    """The mean over the images (B, G) that count, (G,)."""
    if weight is None:
        return ops.mean(values, axis=0)
    weight = ops.cast(weight, values.dtype)[:, None]
    return ops.sum(weight * values, axis=0) / ops.maximum(ops.sum(weight), 1.0)


def _negative_log_mean(log_weight):
    """-log of the mean over samples (S, B) of exp(log_weight), (B,)."""
    return math.log(log_weight.shape[0]) - ops.logsumexp(log_weight, axis=0)


OBJECTIVES = {
    "elbo": ELBO,
    "iwae": IWAE,
    "dreg": DReG,
    "beta_tcvae": BetaTCVAE,
    "infovae": InfoVAE,
}
