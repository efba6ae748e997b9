"""LiteRT (TensorFlow Lite), for telephones and small devices."""

import tempfile
from pathlib import Path

from export.parity import ROUNDED, Artifact
from export.to_saved_model import save
from keras_vae.errors import ModelError, UsageError


def write_litert(
    vae, folder: Path, *, batch: int = 1, weights: str = "float32"
) -> list[Artifact]:
    """Writes `decoder.tflite` for any batch size, `decoder_batch1.tflite` for one.

    The first has the signatures `decode` and `generate`. The second has `decode` only:
    LiteRT's compiled and web runtimes need fixed shapes. With rounded weights it writes
    only `decoder_float16.tflite` or `decoder_int8.tflite`, with `decode`.

    Args:
        vae: the model whose decoder is written.
        folder: existing folder.
        batch: the batch size of the second file.
        weights: `float32`, `float16` or `int8`.

    Returns:
        The artifacts, run by LiteRT.

    Raises:
        ImportError: if LiteRT is not installed.
        ModelError: if the decoder uses an operator that LiteRT does not have.
        UsageError: if `batch` is not a positive number.
    """
    if batch < 1:
        raise UsageError(f"The fixed batch size must be at least 1, got {batch}.")
    try:
        from export.runtimes.python_litert import load_decoder, load_generator
    except ImportError as error:
        raise ImportError(
            "LiteRT is not installed; pip install keras-vae[litert]"
        ) from error

    if weights != "float32":
        path = folder / f"decoder_{weights}.tflite"
        _convert(vae, path, ["decode"], weights=weights)
        return [Artifact(path.name, load_decoder(path), tolerance=ROUNDED[weights])]
    any_batch, fixed = (
        folder / "decoder.tflite",
        folder / f"decoder_batch{batch}.tflite",
    )
    _convert(vae, any_batch, ["decode", "generate"])
    _convert(vae, fixed, ["decode"], batch)
    return [
        Artifact(any_batch.name, load_decoder(any_batch), load_generator(any_batch)),
        Artifact(fixed.name, in_batches(load_decoder(fixed), batch)),
    ]


def _convert(vae, path, signatures, batch=None, weights="float32"):
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        save(vae, Path(folder), batch)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=signatures
        )
        if weights != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if weights == "float16":
            converter.target_spec.supported_types = [tf.float16]
        try:
            path.write_bytes(converter.convert())
        except Exception as error:  # the converter's errors have no common class
            cause = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelError(
                f"LiteRT cannot express the decoder: {cause[-1]}"
            ) from error


def in_batches(decode, batch: int):
    """A decoder of one batch size, for any number of latents.

    Args:
        decode: z[, label] -> images, with exactly `batch` rows.
        batch: that number.

    Returns:
        z[, label] -> images with any number of rows; the last batch is filled up with
        zeros.
    """
    import numpy as np

    def decode_any(*inputs):
        rows = len(inputs[0])
        missing = -rows % batch
        inputs = [np.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1)) for x in inputs]
        parts = [
            decode(*(x[start : start + batch] for x in inputs))
            for start in range(0, rows + missing, batch)
        ]
        return np.concatenate(parts)[:rows]

    return decode_any
