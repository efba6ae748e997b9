"""TensorFlow SavedModel with named signatures: for TensorFlow Serving and TF programs.

A SavedModel is a program: load one only from somebody you trust.
"""

from pathlib import Path

from export.decoder import decode_function, decoder_mean
from export.encoder import encode_function, encoder_mean
from export.generator import generate_function
from export.parity import Artifact


def write_saved_model(
    vae, folder: Path, *, with_encoder: bool = False
) -> list[Artifact]:
    """Writes `saved_model/` with the signatures `decode` and `generate`.

    Args:
        vae: the model whose decoder is written.
        folder: existing folder.
        with_encoder: whether to write `encoder_saved_model/`, too, with the signature
            `encode`.

    Returns:
        The artifacts, loaded again from disk.
    """
    from export.runtimes import python_tensorflow as runtime

    path = folder / "saved_model"
    save(vae, path)
    artifacts = [
        Artifact(path.name, runtime.load_decoder(path), runtime.load_generator(path))
    ]
    if with_encoder:
        path = folder / "encoder_saved_model"
        save_encoder(vae, path)
        artifacts.append(Artifact(path.name, encode=runtime.load_encoder(path)))
    return artifacts


def save(
    vae, path: Path, batch: int | None = None, signatures=("decode", "generate")
) -> None:
    """Writes a SavedModel.

    Args:
        vae: the model whose decoder is written.
        path: the folder to make.
        batch: the only batch size of `decode`; None takes any.
        signatures: `decode`, perhaps with `generate`.

    Raises:
        OSError: if it cannot be written.
    """
    import keras

    model = decoder_mean(vae)
    archive = keras.export.ExportArchive()
    archive.track(model)
    if vae.prior.weights:
        archive.track(vae.prior)
    # The first endpoint is also the `serving_default`.
    archive.add_endpoint("decode", decode_function(model, batch))
    if "generate" in signatures:
        archive.add_endpoint("generate", generate_function(vae, model))
    _write_out(archive, path)


def save_encoder(vae, path: Path) -> None:
    """Writes a SavedModel of the encoder, with the signature `encode`.

    Args:
        vae: the model whose encoder is written.
        path: the folder to make.

    Raises:
        OSError: if it cannot be written.
    """
    import keras

    model = encoder_mean(vae)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("encode", encode_function(model))
    _write_out(archive, path)


def _write_out(archive, path):
    import tensorflow as tf

    try:
        archive.write_out(str(path), verbose=False)
    except tf.errors.OpError as error:  # it ends as "; No space left on device [Op:..."
        cause = error.message.rsplit("; ", 1)[-1].split(" [Op:")[0]
        raise OSError(cause) from error
