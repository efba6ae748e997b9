"""Does an exported decoder give the pixels that Keras gives? Compared in numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from keras_vae.distributions.portable_noise import MAX_SEED, noise
from keras_vae.errors import KerasVAEError

TOLERANCE = 1e-5
# Accepted differences with rounded weights; the measured one is in the manifest.
ROUNDED = {"float16": 1e-2, "int8": 1e-1}
BATCH_SIZES = (1, 7, 64)
ENCODED = ("mean", "log_var")  # what an encoder gives, and a score
SCORED = ("elbo_at_mean", "reconstruction", *ENCODED)


class ParityError(KerasVAEError):
    """An artifact runs, but does not give the images that Keras gives."""


@dataclass(frozen=True)
class Artifact:
    """Something written to disk, and a way to run it.

    Attributes:
        name: file or folder name inside the bundle.
        decode: z[, label] -> images, NumPy arrays, running what is on disk; or None.
        generate: seed, num_images[, label] -> images, z; or None.
        encode: x[, label] -> mean, log_var; or None.
        score: x[, label] -> elbo_at_mean, reconstruction, mean, log_var; or None.
        tolerance: the largest difference from Keras that is accepted.
    """

    name: str
    decode: Callable | None = None
    generate: Callable | None = None
    encode: Callable | None = None
    score: Callable | None = None
    tolerance: float = TOLERANCE


def parity_batches(vae) -> Iterator[tuple[np.ndarray, ...]]:
    """Inputs at batch sizes 1, 7 and 64: z = 0, prior draws, and 4-sigma points.

    A 4-sigma point lies at +4 or -4 on one latent axis, the origin on the others.

    Args:
        vae: gives `latent_dim`, `num_classes` and `latents`.

    Yields:
        (z,), float32 (batch, latent_dim), or (z, label), label int64 (batch,), with the
        classes in turn.
    """
    dim = vae.latent_dim
    for batch in BATCH_SIZES:
        draws = vae.latents.draw(batch, batch)
        k = np.arange(batch)
        far = np.zeros((batch, dim), np.float32)
        far[k, k // 2 % dim] = np.where(k % 2, -4.0, 4.0)
        for z in (np.zeros((batch, dim), np.float32), draws, far):
            if vae.num_classes is None:
                yield (z,)
            else:
                yield z, k.astype(np.int64) % vae.num_classes


def check_parity(vae, artifacts: list[Artifact]) -> dict[str, float]:
    """The largest absolute difference between each artifact's images and Keras's.

    A generator must also give the very latents that `VAE.generate` decodes: where the
    prior is N(0, I), bit for bit.

    Args:
        vae: the model that the artifacts were made from.
        artifacts: what to compare.

    Returns:
        dict from artifact name to the largest |artifact - Keras| over all pixels, in
        units of the pixel range [0, 1]; infinity where shapes, dtypes, NaNs or latents
        differ. Of encoders and scores it is the largest `scaled_error`.

    Example:
        >>> check_parity(vae, [Artifact("decoder.onnx", load_decoder(path))])
        {'decoder.onnx': 2.4e-07}
    """
    from export.decoder import decoder_mean

    model = decoder_mean(vae)
    errors = dict.fromkeys((artifact.name for artifact in artifacts), 0.0)

    def compare(artifact, images, inputs):
        expected = model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)
        error = max_error(images, expected.numpy())
        errors[artifact.name] = max(errors[artifact.name], error)

    for artifact in artifacts:
        if artifact.decode:
            for inputs in parity_batches(vae):
                compare(artifact, artifact.decode(*inputs), inputs)
        if artifact.generate:
            for seed, num_images, *label in generator_calls(vae):
                images, z = artifact.generate(seed, num_images, *label)
                inputs = (z, *(np.full(num_images, value, np.int64) for value in label))
                compare(artifact, images, inputs)
                if not same_latents(vae, seed, z):
                    errors[artifact.name] = float("inf")
    if any(artifact.encode for artifact in artifacts):
        _check_encoders(vae, artifacts, errors)
    return errors


def _check_encoders(vae, artifacts, errors):
    """Puts the errors of encoders and scores where they are larger."""
    from export.encoder import encode_function, encoder_mean, score_function

    encode, score = encode_function(encoder_mean(vae)), score_function(vae)
    for inputs in image_batches(vae):
        for artifact in artifacts:
            for run, reference, names in (
                (artifact.encode, encode, ENCODED),
                (artifact.score, score, SCORED),
            ):
                if run is None:
                    continue
                expected = reference(*inputs)
                for name, values in zip(names, run(*inputs), strict=True):
                    error = scaled_error(values, expected[name].numpy())
                    errors[artifact.name] = max(errors[artifact.name], error)


def image_batches(vae) -> Iterator[tuple[np.ndarray, ...]]:
    """Images to encode: those of `parity_batches`, grey, then black and white alone.

    Args:
        vae: the model.

    Yields:
        (x,), float32 (batch, H, W, C) in [0, 1], or (x, label).
    """
    from export.decoder import decoder_mean

    model = decoder_mean(vae)
    for inputs in parity_batches(vae):
        _, *label = inputs
        x = model(list(inputs) if label else inputs[0], training=False).numpy()
        yield x, *label
        yield np.rint(x), *label


def verdict(artifact: Artifact, error: float) -> str:
    """A line that says whether an artifact gives what Keras gives.

    Args:
        artifact: what was compared.
        error: the largest difference, as `check_parity` measures it.

    Example:
        >>> verdict(Artifact("decoder.onnx", decode=lambda z: z), 2.4e-07)
        'parity decoder.onnx: differs from Keras by 2.4e-07, allowed 1e-05: the same \
images'
    """
    close = "the same" if artifact.tolerance == TOLERANCE else "nearly the same"
    kind = close if error <= artifact.tolerance else "other"
    what = "images" if artifact.decode or artifact.generate else "numbers"
    return (
        f"parity {artifact.name}: differs from Keras by {error:.1e}, allowed "
        f"{artifact.tolerance:g}: {kind} {what}"
    )


def generator_calls(vae) -> list[tuple[int, ...]]:
    """Arguments (seed, num_images[, label]) that generators are checked with."""
    calls = [(42, 9), (0, 1), (MAX_SEED - 1, 64)]
    if vae.num_classes is None:
        return calls
    return [(*call, -k % vae.num_classes) for k, call in enumerate(calls, start=1)]


def same_latents(vae, seed: int, z: np.ndarray) -> bool:
    """Whether z are the latents of this seed.

    Args:
        vae: gives `latents`.
        seed: int in [0, 2**24).
        z: float32 (N, latent_dim), from a generator.

    Returns:
        bool. Every bit must agree where the prior passes the noise on as it is;
        otherwise the prior's own arithmetic may differ in the last bits.
    """
    expected = vae.latents.draw(seed, len(z))
    if passes_noise_on(vae):
        return np.array_equal(z, expected)
    return max_error(z, expected) <= TOLERANCE


def passes_noise_on(vae) -> bool:
    """Whether the latents are the noise itself, as under the prior N(0, I)."""
    normal, _ = noise(0, 8, vae.latents.latent_dim)
    return np.array_equal(vae.latents.draw(0, 8), normal)


def scaled_error(values: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, in units of an image's largest expected value, or of 1.

    A log-likelihood has thousands of nats, a latent may lie at 10, and float32 has
    seven digits.

    Args:
        values: what an artifact gave.
        expected: what it should give, float32 (batch, ...).

    Returns:
        float >= 0; infinity as in `max_error`.
    """
    values = np.asarray(values)
    if values.shape != expected.shape:
        return float("inf")
    axes = tuple(range(1, expected.ndim))
    scale = np.abs(expected).max(axes, keepdims=True, initial=1)
    return max_error(values / scale, expected / scale)


def max_error(images: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference; infinity unless shape and dtype agree, or for NaN.

    Args:
        images: what an artifact gave.
        expected: what it should give, float32 (batch, H, W, C).

    Returns:
        float >= 0.
    """
    images = np.asarray(images)
    if images.shape != expected.shape or images.dtype != expected.dtype:
        return float("inf")
    difference = float(np.abs(images - expected).max(initial=0.0))
    return difference if np.isfinite(difference) else float("inf")
