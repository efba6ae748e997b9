"""TensorFlow SavedModel with named signatures: for TensorFlow Serving and TF programs.

A SavedModel is a program: load one only from somebody you trust.
"""

from pathlib import Path

from export.decoder import decode_function, decoder_mean
from export.generator import generate_function
from export.parity import Artifact


def write_saved_model(vae, folder: Path) -> list[Artifact]:
    """Writes `saved_model/` with the signatures `decode` and `generate`.

    Args:
        vae: the model whose decoder is written.
        folder: existing folder.

    Returns:
        The artifact, loaded again from disk.
    """
    from export.runtimes.python_tensorflow import load_decoder, load_generator

    path = folder / "saved_model"
    save(vae, path)
    return [Artifact(path.name, load_decoder(path), load_generator(path))]


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
    import tensorflow as tf

    model = decoder_mean(vae)
    archive = keras.export.ExportArchive()
    archive.track(model)
    if vae.prior.weights:
        archive.track(vae.prior)
    # The first endpoint is also the `serving_default`.
    archive.add_endpoint("decode", decode_function(model, batch))
    if "generate" in signatures:
        archive.add_endpoint("generate", generate_function(vae, model))
    try:
        archive.write_out(str(path), verbose=False)
    except tf.errors.OpError as error:  # it ends as "; No space left on device [Op:..."
        cause = error.message.rsplit("; ", 1)[-1].split(" [Op:")[0]
        raise OSError(cause) from error
