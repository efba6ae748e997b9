"""A Keras file of the decoder: to go on with it in Keras.

Such a file can hold code: load one only from somebody you trust.
"""

from pathlib import Path

from export.decoder import decode_function, decoder_mean
from export.encoder import encode_function, encoder_mean
from export.parity import Artifact


def write_keras(vae, folder: Path, *, with_encoder: bool = False) -> list[Artifact]:
    """Writes `decoder.keras`.

    Args:
        vae: the model whose decoder is written.
        folder: existing folder.
        with_encoder: whether to write `encoder.keras`, too.

    Returns:
        The artifacts, loaded again from disk.
    """
    from export.runtimes.python_keras import load_decoder, load_encoder

    path = folder / "decoder.keras"
    model = decoder_mean(vae)
    decode_function(model)  # refuses random operators
    model.save(path)
    artifacts = [Artifact(path.name, load_decoder(path))]
    if with_encoder:
        path = folder / "encoder.keras"
        model = encoder_mean(vae)
        encode_function(model)  # refuses random operators
        model.save(path)
        artifacts.append(Artifact(path.name, encode=load_encoder(path)))
    return artifacts
