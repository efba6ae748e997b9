"""A prior that is fitted to a trained model's latents, its networks as they are.

The ELBO pulls the mean of the posteriors over the training images, the aggregate
posterior, towards p(z), and does not reach it: draws of p(z) then fall where the
decoder was never trained. A density that is fitted to the aggregate posterior closes
the gap (Ghosh et al. 2020, section 4), and the bound rises by what it closes:

    elbo = E[log p(x|z) - log q(z|x) + log p(z)],  of which p(z) alone is changed.
"""

import csv
import dataclasses
import math
import statistics
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_vae.config import TrainConfig
from keras_vae.data.splits import Split
from keras_vae.errors import UsageError, diverged
from keras_vae.files import replaced
from keras_vae.model import VAE
from keras_vae.runs.build import build_vae
from keras_vae.training.compiling import compiles
from keras_vae.training.in_pieces import ROWS, rows_of
from keras_vae.training.optimizers import schedule
from keras_vae.training.progress import duration
from keras_vae.training.tracing import each_model_once

LINES = 20  # that a fit prints, about


def with_prior(vae: VAE, config: TrainConfig, data: dict) -> VAE:
    """A trained model with another prior, whose weights are fresh.

    Args:
        vae: The model; it stays as it is.
        config: Its options, but for those of the prior.
        data: Facts about its images; see `facts.FACTS`.

    Returns:
        The new model.

    Raises:
        UsageError: If the prior cannot be fitted, or does not go with the model.
    """
    new = build_vae(
        dataclasses.replace(config, precision="float32"),
        vae.image_shape,
        data["num_classes"],
        num_images=data["num_images"],
    )
    if new.prior.made_of_posteriors or not new.prior.trainable_weights:
        reason = "has no weights to fit"
        if new.prior.made_of_posteriors:
            reason = "is made of posteriors, and learned together with the encoder"
        raise UsageError(f"The prior {config.prior} {reason}; choose another.")
    for name in ("encoder", "decoder", "posterior", "likelihood"):
        getattr(new, name).set_weights(getattr(vae, name).get_weights())
    return new


@each_model_once()
def fit_prior(
    vae: VAE,
    train: Split,
    validation: Split | None = None,
    *,
    epochs: int,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    seed: int = 0,
    verbose: bool = False,
) -> list[dict[str, float]]:
    """Fits the prior of a model to its latents, by maximum likelihood.

    The mean of -log p(z) is minimized by Adam, whose step size falls to 0 along half a
    cosine. z is drawn anew from q(z|x) for each image and epoch. The prior ends as it
    was after the epoch with the least loss of the validation images, if there are any,
    or before the first: few images in many latents are soon learned by heart.

    Args:
        vae: The model; only `vae.prior` is changed.
        train: Images to fit to.
        validation: Images to choose the epoch by.
        epochs: int, passes over the training images.
        batch_size: int, images in a step; more than there are is all of them.
        learning_rate: float > 0, of the first step.
        seed: int in [0, 2**24), of noise and order.
        verbose: bool, whether to print how it goes: `LINES` lines, or few more.

    Returns:
        For each epoch a dict: `epoch`, from 1; `seconds`; `loss`, the mean of -log p(z)
        in nats; `val_loss`, the same of the validation images.

    Raises:
        DivergedError: If the loss becomes NaN or infinite.

    Example:
        >>> from keras_vae import ArraySplit
        >>> vae = VAE(encoder, decoder, prior="mixture")
        >>> rows = fit_prior(vae, ArraySplit(images), epochs=1)
    """
    draw, loss_of = _draws(vae, seed), _losses(vae)
    batch_size = min(batch_size, len(train))
    steps = len(train) // batch_size  # the last few have their turn in another epoch
    rate = schedule(learning_rate, 0, epochs * steps)
    trained = _steps(vae, keras.optimizers.Adam(rate))
    vae.prior.start_at(draw(train, 0), np.random.default_rng([seed, 0]))
    held_out = None if validation is None else draw(validation, 0)
    rows, best, weights = [], math.inf, None
    if held_out is not None:  # that a fit may end worse than it began is no reason
        best, weights = loss_of(held_out), vae.prior.get_weights()
    for epoch in range(1, epochs + 1):
        start = time.monotonic()
        z = draw(train, epoch)
        order = np.random.default_rng([seed, epoch]).permutation(len(z))
        batches = z[order[: steps * batch_size]].reshape(steps, batch_size, -1)
        row = {"loss": float(trained(tf.constant(batches)))}
        if held_out is not None:
            row["val_loss"] = loss_of(held_out)
        for name, value in row.items():
            if not math.isfinite(value):
                raise diverged(f"The {name} of epoch {epoch}", value)
        if row.get("val_loss", math.inf) < best:
            best, weights = row["val_loss"], vae.prior.get_weights()
        seconds = time.monotonic() - start
        rows.append({"epoch": epoch, "seconds": seconds, **row})
        if verbose and (epoch in (2, epochs) or epoch % math.ceil(epochs / LINES) == 0):
            print(_line(rows, epochs), flush=True)
    if weights is not None:
        vae.prior.set_weights(weights)
    return rows


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Writes history.csv, a row an epoch.

    Args:
        path: The file.
        rows: From `fit_prior`.
    """
    with replaced(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"seconds": f"{row['seconds']:.3f}"} for row in rows)


def _draws(vae, seed):
    """draw(split, epoch): z of each image, float32 (N, D); as pixels are seen."""

    @tf.function(autograph=False)
    def draw(x, label):
        # of the graph only what z needs is run
        return vae.terms(vae._observed(x), label, num_samples=1).z[0]

    def drawn(split, epoch):
        with vae.noise_of(int(np.random.default_rng([seed, epoch]).integers(2**31))):
            batches = split.batches(min(rows_of(vae), len(split)))
            parts = [draw(x, label).numpy() for x, label, _ in batches]
        return np.concatenate(parts)[: len(split)]

    return drawn


def _steps(vae, optimizer):
    """An epoch in one program: from batches of z (K, B, D) to their mean loss."""
    prior, weights = vae.prior, vae.prior.trainable_weights
    optimizer.build(weights)

    @tf.function(jit_compile=compiles(prior), autograph=False)
    def steps(batches):
        def body(index, total):
            with tf.GradientTape() as tape:
                log_prob = prior.log_prob(batches[index])
                loss = -tf.reduce_mean(log_prob)
            gradients = tape.gradient(loss, weights)
            optimizer.apply_gradients(zip(gradients, weights, strict=True))
            return index + 1, total + loss

        number = batches.shape[0]
        start = (tf.constant(0), tf.constant(0.0))
        _, total = tf.while_loop(lambda index, _: index < number, body, start)
        return total / number

    return steps


def _losses(vae):
    """loss(z): the mean of -log p(z) over z (N, D), a float."""

    @tf.function(reduce_retracing=True, autograph=False)
    def log_prob(z):
        return vae.prior.log_prob(z)

    def loss(z):
        pieces = range(0, len(z), ROWS)
        parts = [log_prob(z[start : start + ROWS]).numpy() for start in pieces]
        return -float(np.mean(np.concatenate(parts), dtype=np.float64))

    return loss


def _line(rows, epochs):
    """What is said after an epoch."""
    row = rows[-1]
    line = f"Epoch {row['epoch']}/{epochs}: -log p(z) {row['loss']:.2f}"
    if "val_loss" in row:
        line += f", of validation images {row['val_loss']:.2f}"
    # the first epoch is compiled, too
    seconds = statistics.median(row["seconds"] for row in rows[1:] or rows)
    left = epochs - row["epoch"]
    return line + (f"; about {duration(left * seconds)} left" if left else "")
