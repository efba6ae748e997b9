"""TensorFlow SavedModel with named signatures: for TensorFlow Serving and TF programs.

A SavedModel is a program: load one only from somebody you trust.
"""

from pathlib import Path

from export.decoder import decode_function, decoder_mean
from export.parity import Artifact


def write_saved_model(vae, folder: Path) -> list[Artifact]:
    """Writes `folder/saved_model/` with the signature `decode`.

    Args:
        vae: the model whose decoder is written.
        folder: existing folder.

    Returns:
        The artifact, loaded again from disk.
    """
    import keras

    from export.runtimes.python_tensorflow import load_decoder

    model = decoder_mean(vae)
    archive = keras.export.ExportArchive()
    archive.track(model)
    # The first endpoint is also the `serving_default`.
    archive.add_endpoint("decode", decode_function(model))
    path = folder / "saved_model"
    archive.write_out(str(path), verbose=False)
    return [Artifact(path.name, load_decoder(path))]
