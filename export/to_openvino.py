"""OpenVINO's own format, for Intel processors and for programs in C++."""

import tempfile
from pathlib import Path

from export.parity import ROUNDED, Artifact
from export.to_onnx import write_onnx
from keras_vae.errors import UsageError


def write_openvino(
    vae, folder: Path, *, weights: str = "float32", with_encoder: bool = False
) -> list[Artifact]:
    """Writes `openvino/` with `decoder.xml`, `generator.xml` and their weights.

    With float16 weights it writes `openvino_float16/` with the decoder only, which is
    smaller and still computes in float32.

    Args:
        vae: the model whose decoder is written.
        folder: existing folder.
        weights: `float32` or `float16`.
        with_encoder: whether to write `encoder_openvino/` with `encoder.xml`, too.

    Returns:
        The artifacts, run by OpenVINO in float32.

    Raises:
        ImportError: if OpenVINO is not installed.
        UsageError: if `weights` is `int8`.
    """
    if weights not in ("float32", "float16"):
        raise UsageError(f"OpenVINO's weights are float32 or float16, got {weights}.")
    import openvino

    from export.runtimes.python_openvino import (
        load_decoder,
        load_encoder,
        load_generator,
    )

    rounded = weights == "float16"
    path = folder / ("openvino_float16" if rounded else "openvino")
    encoder = folder / "encoder_openvino" / "encoder.xml"
    # Rounding would round the generator's table, too.
    names = ["decoder"] if rounded else ["decoder", "generator"]
    with tempfile.TemporaryDirectory() as onnx_folder:
        write_onnx(vae, Path(onnx_folder), with_encoder=with_encoder)
        for name in names:
            model = openvino.convert_model(f"{onnx_folder}/{name}.onnx")
            openvino.save_model(model, path / f"{name}.xml", compress_to_fp16=rounded)
        if with_encoder:
            model = openvino.convert_model(f"{onnx_folder}/encoder.onnx")
            openvino.save_model(model, encoder, compress_to_fp16=False)
    if rounded:
        decode = load_decoder(path / "decoder.xml")
        return [Artifact(path.name, decode, tolerance=ROUNDED[weights])]
    artifacts = [
        Artifact(
            path.name,
            load_decoder(path / "decoder.xml"),
            load_generator(path / "generator.xml"),
        )
    ]
    if with_encoder:
        name = encoder.parent.name
        artifacts.append(Artifact(name, encode=load_encoder(encoder)))
    return artifacts
