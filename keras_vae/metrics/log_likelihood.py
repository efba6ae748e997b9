"""Estimates of log p(x) and of the parts of the ELBO, image by image.

Samples are streamed: a compiled loop keeps the running log-sum of the importance
weights, so that memory does not grow with their number.
"""

import dataclasses
import math
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from tqdm import tqdm

from keras_vae.data.batches import checked_arrays
from keras_vae.data.binarization import pixel_levels
from keras_vae.data.pipeline import evaluation_batches
from keras_vae.distributions.likelihoods import bits_per_dimension
from keras_vae.errors import diverged, unknown, whole_number
from keras_vae.training.compiling import compiles
from keras_vae.training.in_pieces import widest

BATCH = 100  # images in one compiled call
MAX_FLOATS = 2**24  # in the decoder's widest layer at a time: bounds the memory
ACTIVE = 0.01  # variance of the posterior mean from which on a latent is in use


@dataclasses.dataclass(frozen=True)
class Estimates:
    """What `estimate` found out, image by image, in nats.

    Args:
        estimator: `"importance"` or `"prior"`, where nll comes from.
        nll: float64 (N,), the estimate of -log p(x).
        log_likelihood: float64 (N,), the mean of log p(x|z) over posterior samples.
        kl_divergence: float64 (N,), the mean of log q(z|x) - log p(z) over the same
            samples. So elbo = log_likelihood - kl_divergence is their mean log-weight:
            never above -nll by importance sampling, equal to it with one sample.
        mean: float32 (N, D), where the images are encoded.
        kl_by_group: float32 (N, G), the KL divergence of each latent (G = D) or of each
            of several levels, or None where it is known in one number only.
        squared_error: float32 (N,), of the reconstruction, mean over the pixels.
    """

    estimator: str
    nll: np.ndarray
    log_likelihood: np.ndarray
    kl_divergence: np.ndarray
    mean: np.ndarray
    kl_by_group: np.ndarray | None
    squared_error: np.ndarray

    @property
    def elbo(self) -> np.ndarray:
        """The evidence lower bound of each image, float64 (N,)."""
        return self.log_likelihood - self.kl_divergence


def estimate(
    vae,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    num_samples: int = 5000,
    estimator: str = "importance",
    seed: int = 0,
    jit_compile: bool | str = "auto",
    progress: bool = False,
) -> Estimates:
    """Estimates -log p(x) of each image, and the parts of the ELBO.

    nll = -log 1/S sum_s p(x|z_s) p(z_s) / q(z_s|x), z_s drawn from q(z|x) (Burda et al.
    2015, section 5), or -log 1/S sum_s p(x|z_s), z_s drawn from p(z) (Doersch 2016,
    section 2.1). In expectation it is never below the true -log p(x), and approaches it
    as S grows. The same seed gives the same numbers; training noise is left alone.

    Args:
        vae: `VAE`.
        images: uint8 (N, H, W, C), or float in [0, 1].
        labels: int (N,), for a conditional model.
        num_samples: int S >= 1; exactly as many are drawn for each image. With the
            estimator `"prior"`, min(S, 100) more from the posterior give the ELBO.
        estimator: `"importance"` or `"prior"`.
        seed: int >= 0.
        jit_compile: Whether XLA compiles the loop over samples; see `VAE.compile`.
        progress: bool, shows a bar where standard error is a terminal.

    Returns:
        `Estimates`.

    Raises:
        UsageError: If an argument is out of range.
        DataError: If the images do not suit the model.
        DivergedError: If a number is NaN or infinite.

    Example:
        >>> estimates = estimate(vae, images[:100], num_samples=500)
        >>> estimates.nll.shape
        (100,)
        >>> error = estimates.nll.std() / len(estimates.nll) ** 0.5  # of their mean
    """
    num_samples = whole_number("num_samples", num_samples)
    seed = whole_number("seed", seed, minimum=0)
    if estimator not in ("importance", "prior"):
        raise unknown("estimator", estimator, ["importance", "prior"])
    images, labels = checked_arrays(images, labels, vae.image_spec)
    images = vae.evaluation_images(images)
    rows = _rows(vae)
    batch_size = min(BATCH, rows, len(images))
    if jit_compile == "auto":
        jit_compile = compiles(vae)
    build = partial(_streamed, vae, rows // batch_size, jit_compile)
    if estimator == "importance":
        stream = build(_posterior_terms(vae), num_samples)
    else:
        parts_of_elbo = build(_posterior_terms(vae), min(num_samples, 100))
        naive = build(_prior_terms(vae, seed), num_samples)

        def stream(x, label):
            return naive(x, label)[0], *parts_of_elbo(x, label)[1:]

    describe = _described(vae)
    vae.refresh_prior()
    parts, shown = [], not progress or None  # None: tqdm looks for a terminal
    with (
        vae.noise_of(seed),
        tqdm(total=len(images), unit="image", disable=shown) as bar,
    ):
        for x, label, weight in evaluation_batches(
            images, labels, batch_size=batch_size
        ):
            real = int(weight.numpy().sum())
            found = [*stream(x, label), *describe(x, label)]
            parts.append([part.numpy()[:real] for part in found])
            bar.update(real)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    nll, log_likelihood, kl_divergence, mean, kl_by_group, squared_error = columns
    names = [field.name for field in dataclasses.fields(Estimates)][1:]
    for name, column in zip(names, columns, strict=True):
        if (wrong := ~np.isfinite(column)).any():
            image = np.argwhere(wrong)[0][0]
            raise diverged(f"The {name} of image {image}", column[wrong][0])
    num_groups = kl_by_group.shape[-1]
    in_groups = num_groups > 1 or num_groups == vae.latent_dim
    return Estimates(
        estimator,
        nll,
        log_likelihood,
        kl_divergence,
        mean,
        kl_by_group if in_groups else None,
        squared_error,
    )


def _rows(vae):
    """Rows of z to decode at once: as many as memory allows, at most 4096."""
    models = (vae.decoder, *vae.latents.networks)
    most = max(widest(model) for model in models)
    return max(1, min(4096, MAX_FLOATS // max(most, vae.latents.num_params)))


def _posterior_terms(vae):
    """Gives log p(x|z) and log q(z|x) - log p(z), (S, B), of z drawn from q(z|x)."""

    def terms(x, label, num_samples):
        found = vae.terms(x, label, num_samples=num_samples)
        return found.log_likelihood, found.log_posterior - found.log_prior

    return terms


def _prior_terms(vae, seed):
    """Gives log p(x|z) and 0, (S, B), of z drawn from p(z)."""
    generator = keras.random.SeedGenerator(seed)

    def terms(x, label, num_samples):
        z = vae.prior.sample(num_samples * x.shape[0], seed=generator)
        z = ops.reshape(z, (num_samples, x.shape[0], vae.latent_dim))
        log_likelihood = vae.log_likelihood(z, x, label)
        return log_likelihood, ops.zeros_like(log_likelihood)

    return terms


def _streamed(vae, most, jit_compile, terms, num_samples):
    """A compiled function: nll, log_likelihood, kl_divergence of a batch, (B,) each.

    The loop over chunks of equal size, of at most `most` samples, is inside the
    program. It keeps the running log of the sum of weights and the sums of the two
    terms, in float64; what the last chunk draws too many counts nothing.
    """
    num_chunks = math.ceil(num_samples / max(1, most))
    chunk = math.ceil(num_samples / num_chunks)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def stream(x, label):
        x = vae._scaled(x)

        def body(first, log_sum, sums):
            values = tf.stack(terms(x, label, chunk))  # (2, S, B)
            values = tf.cast(values, tf.float64)
            real = (first + tf.range(chunk) < num_samples)[:, None]  # (S, 1)
            values = tf.where(real, values, tf.zeros_like(values))
            log_weight = tf.where(real, values[0] - values[1], -np.inf)
            log_sum = ops.logaddexp(log_sum, tf.reduce_logsumexp(log_weight, axis=0))
            return first + chunk, log_sum, sums + tf.reduce_sum(values, axis=1)

        zeros = tf.zeros((2, x.shape[0]), tf.float64)
        _, log_sum, sums = tf.while_loop(
            lambda first, *_: first < num_samples,
            body,
            (tf.constant(0), zeros[0] - np.inf, zeros),
        )
        log_likelihood, kl_divergence = tf.unstack(sums / num_samples)
        return math.log(num_samples) - log_sum, log_likelihood, kl_divergence

    return stream


def _described(vae):
    """A compiled function: mean, KL by latent, squared error of the reconstruction."""

    @tf.function(autograph=False)
    def describe(x, label):
        x = vae._scaled(x)
        terms = vae.terms(x, label, num_samples=1)
        mean = vae._encoded(x, label)
        kl = terms.kl_by_group
        kl = tf.zeros((x.shape[0], 0)) if kl is None else kl
        inputs = x if vae.num_classes is None else [x, label]
        error = ops.square(vae(inputs) - x)
        return mean, kl, ops.mean(error, axis=(1, 2, 3))

    return describe


def has_bits(vae) -> bool:
    """Whether images have probabilities, of which bits per dimension can be told.

    That is where the likelihood gives one to every value that a pixel can have under
    the model's binarization protocol: densities have none.
    """
    return pixel_levels(vae.binarization) <= (vae.likelihood.levels or 0)


def active_units(mean: np.ndarray) -> np.ndarray:
    """Which latents are in use: those whose posterior mean varies over the images.

    Burda et al. (2015), section 5.2: by more than 0.01.

    Args:
        mean: float (N, D), the posterior mean of each image.

    Returns:
        bool (D,).
    """
    return mean.var(axis=0) > ACTIVE


def summary(vae, estimates: Estimates) -> dict:
    """Means over the images, with standard errors, under the names of metrics.json.

    Args:
        vae: `VAE`.
        estimates: From `estimate`.

    Returns:
        dict of floats, ints and lists; nats per image where nothing else is said.
        `bits_per_dimension` only where pixels have probabilities, not densities.
    """

    def mean_and_error(name, values):
        error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else 0.0
        return {name: float(values.mean()), f"{name}_standard_error": float(error)}

    report = mean_and_error("nll", estimates.nll)
    if has_bits(vae):
        bits = bits_per_dimension(estimates.nll, vae.image_shape)
        report |= mean_and_error("bits_per_dimension", bits)
    variances = estimates.mean.var(axis=0)
    report |= mean_and_error("elbo", estimates.elbo)
    report |= mean_and_error("log_likelihood", estimates.log_likelihood)
    report |= mean_and_error("kl_divergence", estimates.kl_divergence)
    if estimates.estimator == "importance":
        report |= mean_and_error("jensen_gap", -estimates.nll - estimates.elbo)
    report |= mean_and_error("reconstruction_error", estimates.squared_error)
    report |= {
        "active_units": int(active_units(estimates.mean).sum()),
        "latent_variances": variances.tolist(),
    }
    if estimates.kl_by_group is not None:
        kl = estimates.kl_by_group.mean(axis=0).tolist()
        by_latent = len(kl) == vae.latent_dim
        report["kl_per_dimension" if by_latent else "kl_by_level"] = kl
    return report
