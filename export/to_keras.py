"""A Keras file of the decoder: to go on with it in Keras.

Such a file can hold code: load one only from somebody you trust.
"""

from pathlib import Path

from export.decoder import decode_function, decoder_mean
from export.parity import Artifact


def write_keras(vae, folder: Path) -> list[Artifact]:
    """Writes `decoder.keras`.

    Args:
        vae: the model whose decoder is written.
        folder: existing folder.

    Returns:
        The artifact, loaded again from disk.
    """
    from export.runtimes.python_keras import load_decoder

    path = folder / "decoder.keras"
    model = decoder_mean(vae)
    decode_function(model)  # refuses random operators
    model.save(path)
    return [Artifact(path.name, load_decoder(path))]
