"""Whether a part of your own keeps the contract that the package's own parts keep.

Each check raises an `AssertionError` of one sentence, so that it can stand in a test:

    from keras_vae.testing import check_prior

    def test_my_prior_keeps_the_contract():
        check_prior(MyPrior(latent_dim=3))
"""

import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_vae.distributions.latents import Latents
from keras_vae.distributions.likelihoods import Likelihood
from keras_vae.distributions.normal import normal_log_prob
from keras_vae.distributions.posteriors import Posterior
from keras_vae.distributions.priors import Prior
from keras_vae.objectives.terms import Objective, Terms

SAMPLES, IMAGES, DRAWS = 3, 4, 20_000
SIGMAS = 6  # standard errors within which an estimate must lie
CLOSE = 1e-4  # float32 sums taken in two orders


def check_posterior(posterior: Posterior) -> None:
    """Holds a posterior to its contract: shapes, densities, gradients, saving.

    Args:
        posterior: The layer, with fresh weights.

    Raises:
        AssertionError: If it breaks a rule.

    Example:
        >>> check_posterior(DiagonalGaussian(3, seed=0))
    """
    _check_type(posterior, Posterior)
    dim, width = posterior.latent_dim, posterior.num_params
    params = _normal((IMAGES, width), scale=0.3)
    z, log_q = posterior.sample_and_log_prob(params, SAMPLES)
    _check_shape("z", z, (SAMPLES, IMAGES, dim))
    _check_shape("log q(z|x)", log_q, (SAMPLES, IMAGES))
    _check_shape("mean", posterior.mean(params), (IMAGES, dim))
    if posterior.has_log_prob:
        _check_close("log_prob at the draws", posterior.log_prob(params, z), log_q)
    if posterior.factorizes:
        parts = posterior.log_prob_per_dimension(params, z)
        _check_shape("log_prob_per_dimension", parts, (SAMPLES, IMAGES, dim))
        total = ops.sum(parts, axis=-1)
        _check_close("the sum of log_prob_per_dimension", total, log_q)
    z, log_q = posterior.sample_and_log_prob(params[:1], DRAWS)
    _check_density("log q(z|x)", z[:, 0], log_q[:, 0])
    if posterior.is_gaussian:
        _check_gaussian(posterior, params[:1], np.float64(z[:, 0]))
    with tf.GradientTape() as tape:
        tape.watch(params)
        z, log_q = posterior.sample_and_log_prob(params, SAMPLES)
        value = ops.sum(ops.square(z)) + ops.sum(log_q)
    sources = [params, *posterior.trainable_weights]
    _check_gradients(tape.gradient(value, sources), ["params", *_paths(posterior)])
    wild = 1e4 * _normal((IMAGES, width))
    for value in posterior.sample_and_log_prob(wild, 1):
        _require(np.isfinite(value).all(), "Wild parameters must give finite values.")
    _check_saving(posterior, lambda layer: layer.mean(params))


def check_prior(prior: Prior, image_shape: tuple[int, int, int] = (4, 4, 1)) -> None:
    """Holds a prior to its contract: draws follow the density, without a random op.

    Args:
        prior: The layer, with fresh weights.
        image_shape: (H, W, C), which `build` is called with.

    Raises:
        AssertionError: If it breaks a rule.

    Example:
        >>> check_prior(GaussianMixture(3, num_components=5))
    """
    _check_type(prior, Prior)
    if not prior.built:
        prior.build(image_shape)
    dim = prior.latent_dim
    kernel = _normal((math.prod(image_shape), 2 * dim), scale=0.1)

    def encode(images):
        return ops.split(ops.reshape(images, (images.shape[0], -1)) @ kernel, 2, -1)

    prior.refresh(encode)
    normal, uniform = _normal((IMAGES, dim)), tf.linspace(0.0, 0.999, IMAGES)
    z = prior.from_noise(normal, uniform)
    _check_shape("from_noise", z, (IMAGES, dim))
    _check_close("from_noise a second time", prior.from_noise(normal, uniform), z)
    _check_close(
        "a part of from_noise", prior.from_noise(normal[:2], uniform[:2]), z[:2]
    )
    z = tf.reshape(_normal((SAMPLES * IMAGES, dim)), (SAMPLES, IMAGES, dim))
    log_p = prior.log_prob(z)
    _check_shape("log p(z)", log_p, (SAMPLES, IMAGES))
    _check_close("log p(z) with and without `encode`", prior.log_prob(z, encode), log_p)
    z = prior.sample(DRAWS, seed=1)
    _check_shape("sample", z, (DRAWS, dim))
    _check_close("sample with the same seed", prior.sample(DRAWS, seed=1), z)
    _check_density("log p(z)", z, prior.log_prob(z))
    graph = tf.function(prior.from_noise).get_concrete_function(normal, uniform).graph
    random = [op.type for op in graph.get_operations() if "Random" in op.type]
    _require(not random, f"from_noise must draw nothing; it uses {random}.")
    with tf.GradientTape() as tape:
        value = ops.sum(prior.log_prob(_normal((IMAGES, dim)), encode))
    gradients = tape.gradient(value, prior.trainable_weights)
    _check_gradients(gradients, _paths(prior))
    _check_saving(prior, lambda layer: layer.from_noise(normal, uniform))


def check_likelihood(likelihood: Likelihood, channels: int = 1) -> None:
    """Holds a likelihood to its contract: shapes, ranges, gradients, normalization.

    Args:
        likelihood: The layer, with fresh weights.
        channels: int, of the images.

    Raises:
        AssertionError: If it breaks a rule.

    Example:
        >>> check_likelihood(Bernoulli())
    """
    _check_type(likelihood, Likelihood)
    shape = (5, 4, channels)
    params = _normal((SAMPLES, IMAGES, 5, 4, channels * likelihood.num_params))
    levels = (likelihood.levels or 256) - 1
    generator = np.random.default_rng(0)
    x = generator.integers(0, levels + 1, (IMAGES, *shape)) / np.float32(levels)
    x = x.astype(np.float32)
    _check_shape("log p(x|z)", likelihood.log_prob(params, x), (SAMPLES, IMAGES))
    for name, images in (
        ("mean", likelihood.mean(params)),
        ("sample", likelihood.sample(params, seed=0)),
    ):
        _check_shape(name, images, (SAMPLES, IMAGES, *shape))
        low, high = np.min(images), np.max(images)
        _require(
            low >= 0 and high <= 1,
            f"{name} must lie in [0, 1]; got {low} to {high}.",
        )
    _check_close("a call", likelihood(params), likelihood.mean(params))
    if likelihood.levels is not None and channels == 1:
        pixel = _normal((1, 1, 1, 1, likelihood.num_params))
        values = np.linspace(0, 1, likelihood.levels, dtype=np.float32)
        log_p = likelihood.log_prob(pixel, values.reshape(-1, 1, 1, 1))
        total = np.exp(np.float64(log_p)).sum()
        _check_close("the sum of a pixel's probabilities", total, 1.0)
    mean = generator.uniform(0.2, 0.8, shape).astype(np.float32)
    bias = likelihood.output_bias(mean)
    _check_shape("output_bias", bias, (5, 4, channels * likelihood.num_params))
    difference = np.abs(likelihood.mean(ops.convert_to_tensor(bias[None]))[0] - mean)
    _require(
        np.max(difference) < 0.1,
        f"The mean at output_bias must be near the data's; it is {np.max(difference)} "
        "off.",
    )
    for scale in (1.0, 1e4):
        with tf.GradientTape() as tape:
            wild = scale * params
            tape.watch(wild)
            value = ops.sum(likelihood.log_prob(wild, x))
        _check_gradients(tape.gradient(value, [wild]), ["params"])
    _check_saving(likelihood, lambda layer: layer.mean(params))


def check_objective(
    objective: Objective, latents: Latents, decode: Callable | None = None
) -> None:
    """Holds an objective to its contract: a finite loss for each image, gradients.

    Args:
        objective: The layer.
        latents: Latents that it goes with.
        decode: Of latents that look at it; see `Latents.infer`.

    Raises:
        AssertionError: If it breaks a rule.

    Example:
        >>> latents = OneLevel(DiagonalGaussian(3), StandardNormal(3))
        >>> check_objective(ELBO(beta=4.0), latents)
    """
    _check_type(objective, Objective)
    params = _normal((IMAGES, latents.num_params), scale=0.3)
    with tf.GradientTape() as tape:
        tape.watch(params)
        found = latents.infer(
            params, SAMPLES, decode=decode, scalable=objective.doubly_reparameterized
        )
        terms = Terms(
            **found._asdict(),
            log_likelihood=-ops.sum(ops.square(found.z - 1.0), axis=-1),
            weight=tf.constant([1.0] * (IMAGES - 1) + [0.0]),
            params=params,
            posterior=latents.posterior,
            prior=latents.prior,
            step=tf.constant(3),
        )
        losses = objective.loss(terms)
    _check_shape("loss", losses, (IMAGES,))
    _require(np.isfinite(losses).all(), f"The loss must be finite; got {losses}.")
    _check_gradients(tape.gradient(losses, [params]), ["params"])
    _check_saving(objective, lambda layer: layer.get_config())


def check_latents(latents: Latents, decode: Callable | None = None) -> None:
    """Holds latents to their contract, and their posterior and prior to theirs.

    Args:
        latents: The latents, with fresh weights.
        decode: Of latents that look at it; see `Latents.infer`.

    Raises:
        AssertionError: If they break a rule.

    Example:
        >>> check_latents(OneLevel(DiagonalGaussian(3), StandardNormal(3)))
    """
    _check_type(latents, Latents)
    if isinstance(latents.posterior, Posterior):
        check_posterior(latents.posterior)
    check_prior(latents.prior)
    dim = latents.latent_dim
    params = _normal((IMAGES, latents.num_params), scale=0.3)
    found = latents.infer(params, SAMPLES, decode=decode)
    _check_shape("z", found.z, (SAMPLES, IMAGES, dim))
    _check_shape("log q(z|x)", found.log_posterior, (SAMPLES, IMAGES))
    _check_shape("log p(z)", found.log_prior, (SAMPLES, IMAGES))
    _check_shape("mean", latents.mean(params, decode), (IMAGES, dim))
    if latents.posterior.is_gaussian:
        mean, log_var = latents.mean_and_log_var(params, decode)
        _check_close("the mean beside log_var", mean, latents.mean(params, decode))
        kl = latents.kl_at_mean(params, mean, log_var)
        _check_shape("kl_at_mean", kl, (IMAGES,))
    if found.kl_by_group is not None:
        found = latents.infer(params, DRAWS, decode=decode)
        estimate = np.float64(found.log_posterior) - np.float64(found.log_prior)
        error = SIGMAS * estimate.std(axis=0) / math.sqrt(DRAWS) + 1e-4
        kl = np.sum(found.kl_by_group, axis=-1)
        _require(
            (np.abs(kl - estimate.mean(axis=0)) < error).all(),
            f"kl_by_group must sum to the KL divergence {estimate.mean(axis=0)}; it "
            f"sums to {kl}.",
        )
    _check_close(
        "image 2 of a seed, drawn alone",
        latents.draw(7, 1, first_image=2),
        latents.draw(7, 5)[2:3],
    )


def _require(holds, sentence: str) -> None:
    if not holds:
        raise AssertionError(sentence)


def _normal(shape, scale=1.0):
    """Normal noise that is the same at every call, as a tensor."""
    noise = np.random.default_rng(len(shape)).standard_normal(shape)
    return tf.constant(scale * noise, tf.float32)


def _check_type(part, contract):
    _require(
        isinstance(part, contract),
        f"Expected a {contract.__name__}; got a {type(part).__name__}.",
    )


def _check_shape(name, array, shape):
    _require(
        tuple(array.shape) == shape,
        f"{name} must have the shape {shape}; it has {tuple(array.shape)}.",
    )


def _check_close(name, actual, expected):
    actual, expected = np.asarray(actual), np.asarray(expected)
    _require(
        np.allclose(actual, expected, rtol=CLOSE, atol=CLOSE),
        f"{name} must be {expected}; it is {actual}.",
    )


def _check_density(name, z, log_density):
    """Draws z (N, D) follow exp(log_density): a wider Gaussian over it has mean 1.

    The ratio r(z) / p(z) has the mean 1 under p for any density r that p covers.
    """
    z, log_density = np.float64(z), np.float64(log_density)
    center, spread = z.mean(axis=0), 0.7 * z.std(axis=0)
    log_ratio = normal_log_prob((z - center) / spread, 2 * np.log(spread))
    ratio = np.exp(np.sum(log_ratio, axis=-1) - log_density)
    error = SIGMAS * ratio.std() / math.sqrt(len(ratio))
    _require(
        abs(ratio.mean() - 1) < max(error, 1e-3),
        f"Draws must follow {name}; their integral is {ratio.mean():.4f}, not 1.",
    )


def _check_gaussian(posterior, params, z):
    """`log_var` is of draws z (N, D), whose Gaussian peaks at `log_prob_of_mean`."""
    log_var = np.asarray(posterior.log_var(params), np.float64)[0]
    error = np.abs(np.log(z.var(axis=0)) - log_var)
    _require(
        (error < SIGMAS * math.sqrt(2 / len(z))).all(),
        f"log_var must be that of the draws, {np.log(z.var(axis=0))}; it is {log_var}.",
    )
    covariance = np.atleast_2d(np.cov(z.T, bias=True))
    peak = -0.5 * np.linalg.slogdet(2 * math.pi * covariance)[1]
    error = abs(float(np.asarray(posterior.log_prob_of_mean(params))[0]) - peak)
    _require(
        error < SIGMAS * math.sqrt(z.shape[1] / (2 * len(z))),
        f"log_prob_of_mean must be {peak}; it is off by {error}.",
    )


def _check_gradients(gradients, names):
    for gradient, name in zip(gradients, names, strict=True):
        _require(gradient is not None, f"No gradient reaches {name}.")
        gradient = ops.convert_to_numpy(gradient)
        _require(np.isfinite(gradient).all(), f"The gradient of {name} is not finite.")


def _paths(layer):
    return [weight.path for weight in layer.trainable_weights]


def _check_saving(layer, call: Callable) -> None:
    """What a config and the weights give does what the layer does."""
    config = keras.saving.serialize_keras_object(layer)
    scope = {type(layer).__name__: type(layer)}
    again = keras.saving.deserialize_keras_object(config, custom_objects=scope)
    again.set_weights(layer.get_weights())
    one, other = call(layer), call(again)
    same = one == other if isinstance(one, dict) else np.array_equal(one, other)
    _require(same, f"{type(layer).__name__} must come back from its config as it was.")
