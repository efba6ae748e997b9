"""LiteRT (TensorFlow Lite), for telephones and small devices."""

import tempfile
from pathlib import Path

from export.parity import ROUNDED, Artifact
from export.to_saved_model import save, save_encoder
from keras_vae.errors import ModelError, UsageError

MAX_BATCH = 1024  # a fixed batch reserves its memory at once


def write_litert(
    vae,
    folder: Path,
    *,
    batch: int = 1,
    weights: str = "float32",
    with_encoder: bool = False,
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
        with_encoder: whether to write `encoder.tflite`, too, for any batch size, with
            the signature `encode`.

    Returns:
        The artifacts, run by LiteRT.

    Raises:
        ImportError: if LiteRT is not installed.
        ModelError: if the decoder uses an operator that LiteRT does not have.
        UsageError: if `batch` is not a whole number in [1, 1024].
    """
    if batch not in range(1, MAX_BATCH + 1):
        raise UsageError(
            f"The fixed batch size must be in [1, {MAX_BATCH}], got {batch}; the file "
            "for any batch size takes more."
        )
    from export.runtimes.python_litert import (
        load_decoder,
        load_encoder,
        load_generator,
    )

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
    artifacts = [
        Artifact(any_batch.name, load_decoder(any_batch), load_generator(any_batch)),
        Artifact(fixed.name, load_decoder(fixed)),
    ]
    if with_encoder:
        encoder = folder / "encoder.tflite"
        _convert(vae, encoder, ["encode"])
        artifacts.append(Artifact(encoder.name, encode=load_encoder(encoder)))
    return artifacts


def _convert(vae, path, signatures, batch=None, weights="float32"):
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        if signatures == ["encode"]:
            save_encoder(vae, Path(folder))
        else:
            save(vae, Path(folder), batch, signatures)
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
                f"LiteRT cannot express {path.stem}: {cause[-1]}"
            ) from error
