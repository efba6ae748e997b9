"""Does an exported decoder give the pixels that Keras gives? Compared in numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from keras_vae.errors import KerasVAEError
from keras_vae.portable_normal import noise

TOLERANCE = 1e-5
BATCH_SIZES = (1, 7, 64)


class ParityError(KerasVAEError):
    """An artifact runs, but does not give the images that Keras gives."""


@dataclass(frozen=True)
class Artifact:
    """Something written to disk, and a way to run it.

    Attributes:
        name: file or folder name inside the bundle.
        decode: z[, label] -> images, NumPy arrays, running what is on disk.
    """

    name: str
    decode: Callable


def parity_batches(vae) -> Iterator[tuple[np.ndarray, ...]]:
    """Inputs at batch sizes 1, 7 and 64: z = 0, prior draws, and 4-sigma points.

    A 4-sigma point lies at +4 or -4 on one latent axis, the origin on the others.

    Args:
        vae: gives `latent_dim`, `num_classes` and `prior`.

    Yields:
        (z,), float32 (batch, latent_dim), or (z, label), label int64 (batch,), with the
        classes in turn.
    """
    dim = vae.latent_dim
    for batch in BATCH_SIZES:
        normal, uniform = noise(batch, batch, dim)
        draws = np.asarray(vae.prior.from_noise(normal, uniform), np.float32)
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

    Args:
        vae: the model that the artifacts were made from.
        artifacts: what to compare.

    Returns:
        dict from artifact name to the largest |artifact - Keras| over all pixels, in
        units of the pixel range [0, 1]; infinity where shapes, dtypes or NaNs differ.

    Example:
        >>> check_parity(vae, [Artifact("decoder.onnx", load_decoder(path))])
        {'decoder.onnx': 2.4e-07}
    """
    from export.decoder import decoder_mean

    model = decoder_mean(vae)
    errors = dict.fromkeys((artifact.name for artifact in artifacts), 0.0)
    for inputs in parity_batches(vae):
        expected = model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)
        expected = expected.numpy()  # (batch, H, W, C)
        for artifact in artifacts:
            error = max_error(artifact.decode(*inputs), expected)
            errors[artifact.name] = max(errors[artifact.name], error)
    return errors


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
