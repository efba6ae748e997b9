"""Objectives on the aggregate posterior q(z), the mean of q(z|x) over the images.

They couple the images of a batch.
"""

import math

import keras
from keras import ops

from keras_vae.errors import UsageError, number, whole_number
from keras_vae.objectives.terms import Objective, Terms


@keras.saving.register_keras_serializable(package="keras_vae")
class BetaTCVAE(Objective):
    """The ELBO with its KL term split in three, of which beta weights the dependence.

    KL = MI(x; z) + TC(z) + sum_d KL(q(z_d) || p(z_d)): index-code mutual information,
    total correlation, dimension-wise KL (Chen et al. 2018, eq. 2 and 3);
    loss = -E_q[log p(x|z)] + alpha * MI + beta * TC + gamma * dimension-wise KL.

    The aggregate q(z) is estimated from the batch. With `num_images` N, the training
    images, by stratified sampling (appendix C.2), here with equal parts for the others:
    q(z_i) = q(z_i|x_i) / N + (1 - 1/N) mean_{j != i} q(z_i|x_j); without, by weighted
    sampling (eq. S3): all images of the batch alike, which shifts the terms by
    constants and leaves their gradients. Images of weight 0 take no part.

    Args:
        alpha: float >= 0, weight of the mutual information.
        beta: float >= 0, the weight of the total correlation, held in a variable.
        gamma: float >= 0, weight of the dimension-wise KL.
        num_images: int >= 2, or None.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If a number is out of its range.

    Example:
        >>> objective = BetaTCVAE(beta=6.0, num_images=60_000)
        >>> vae = VAE(encoder, decoder, objective=objective)
    """

    needs_factorized = True
    couples_images = True

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 6.0,
        gamma: float = 1.0,
        num_images: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if num_images is not None:
            num_images = whole_number("num_images", num_images, minimum=2)
        self._config = {
            "alpha": number("alpha", alpha),
            "beta": number("beta", beta),
            "gamma": number("gamma", gamma),
            "num_images": num_images,
        }
        start = keras.initializers.Constant(self._config["beta"])
        self.beta = self.add_weight((), start, name="beta", trainable=False)
        self.built = True

    def loss(self, terms: Terms):
        # log q(z_i|x_j) of every pair, at each latent
        pairs = terms.posterior.log_prob_per_dimension(
            terms.params, terms.z[:, :, None, :]
        )  # (S, B, B, D)
        log_weight = self._log_weight(terms)[..., None]  # (B, B, 1)
        joint = ops.sum(pairs, axis=-1, keepdims=True)
        log_q = ops.logsumexp(log_weight + joint, axis=2)[..., 0]  # (S, B)
        log_product = ops.sum(ops.logsumexp(log_weight + pairs, axis=2), axis=-1)
        information = terms.log_posterior - log_q
        correlation = log_q - log_product
        dimensions = log_product - terms.log_prior
        loss = self._config["alpha"] * information + self.beta * correlation
        loss = loss + self._config["gamma"] * dimensions - terms.log_likelihood
        return ops.mean(loss, axis=0)

    def _log_weight(self, terms):
        """Log-weight of image j in the estimate of q(z_i), (B, B); rows sum to 1."""
        counts = _ones(terms)[None, :]
        own = ops.eye(counts.shape[-1] or ops.shape(counts)[-1])
        others = counts * (1.0 - own)
        others = others / ops.maximum(ops.sum(others, axis=-1, keepdims=True), 1.0)
        if self._config["num_images"] is None:
            weight = counts / ops.maximum(ops.sum(counts), 1.0)
            weight = ops.broadcast_to(weight, ops.shape(own))
        else:
            share = 1.0 / self._config["num_images"]
            weight = share * own + (1.0 - share) * others
        return ops.log(ops.maximum(weight, 1e-30))

    def get_config(self):
        return {**super().get_config(), **self._config}


@keras.saving.register_keras_serializable(package="keras_vae")
class InfoVAE(Objective):
    """The ELBO with part of its KL replaced by the distance of q(z) from the prior.

    loss = -E_q[log p(x|z)] + (1 - alpha) KL(q(z|x) || p(z))
           + (alpha + lambda_ - 1) MMD(q(z), p(z))
    (Zhao et al. 2019, eq. 6; alpha = 1 is the MMD-VAE). The squared maximum mean
    discrepancy has the kernel exp(-|z - z'|^2 / (2 D)); it is estimated without bias
    from the batch's z and as many draws from the prior, and may fall just below 0.
    Images of weight 0 take no part.

    Args:
        alpha: float <= 1; the weight of the KL is 1 - alpha.
        lambda_: float >= 0; the weight of the discrepancy is alpha + lambda_ - 1 >= 0.
        seed: int or None, for the draws from the prior.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If `alpha` or `lambda_` is out of its range.

    Example:
        >>> vae = VAE(encoder, decoder, objective=InfoVAE(alpha=0.5, lambda_=100.0))
    """

    draws_from_prior = True
    couples_images = True

    def __init__(
        self,
        alpha: float = 0.0,
        lambda_: float = 1000.0,
        seed: int | None = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.alpha = number("alpha", alpha, minimum=-math.inf)
        self.lambda_ = number("lambda_", lambda_)
        if self.alpha > 1 or self.alpha + self.lambda_ < 1:
            raise UsageError(
                "InfoVAE needs alpha <= 1 and alpha + lambda_ >= 1, which keeps both "
                f"weights >= 0. Got alpha={alpha!r}, lambda_={lambda_!r}."
            )
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def loss(self, terms: Terms):
        ones = _ones(terms)
        z = terms.z[0]
        draws = terms.prior.sample(ops.shape(z)[0], seed=self.seed_generator)
        discrepancy = (
            _mean_kernel(z, z, ones, ones, distinct=True)
            + _mean_kernel(draws, draws, ops.ones_like(ones), ops.ones_like(ones), True)
            - 2.0 * _mean_kernel(z, draws, ones, ops.ones_like(ones))
        )
        log_likelihood = ops.mean(terms.log_likelihood, axis=0)
        loss = (1.0 - self.alpha) * terms.kl_divergence - log_likelihood
        return loss + (self.alpha + self.lambda_ - 1.0) * discrepancy

    def get_config(self):
        config = {"alpha": self.alpha, "lambda_": self.lambda_, "seed": self.seed}
        return {**super().get_config(), **config}


def _ones(terms):
    """1.0 for each image that counts, 0.0 for those that pad the batch, (B,)."""
    if terms.weight is None:
        return ops.ones_like(terms.log_likelihood[0])
    return ops.cast(terms.weight > 0, "float32")


def _mean_kernel(one, two, one_counts, two_counts, distinct=False):
    """Mean of exp(-|a - b|^2 / (2 D)) over the pairs that count; rows (B, D)."""
    square = ops.sum(ops.square(one[:, None] - two[None, :]), axis=-1)  # (B, B)
    counts = one_counts[:, None] * two_counts[None, :]
    if distinct:
        counts = counts * (1.0 - ops.eye(ops.shape(one)[0]))
    kernel = ops.exp(-square / (2.0 * one.shape[-1]))
    return ops.sum(counts * kernel) / ops.maximum(ops.sum(counts), 1.0)
