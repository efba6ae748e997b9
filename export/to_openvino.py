"""OpenVINO's own format, for Intel processors and for programs in C++."""

import tempfile
from pathlib import Path

from export.parity import Artifact
from export.to_onnx import write_onnx


def write_openvino(vae, folder: Path) -> list[Artifact]:
    """Writes `openvino/` with `decoder.xml`, `generator.xml` and their weights.

    Args:
        vae: the model whose decoder is written.
        folder: existing folder.

    Returns:
        The artifact, run by OpenVINO in float32.

    Raises:
        ImportError: if OpenVINO is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise ImportError(
            "OpenVINO is not installed; pip install keras-vae[openvino]"
        ) from error

    from export.runtimes.python_openvino import load_decoder, load_generator

    path = folder / "openvino"
    with tempfile.TemporaryDirectory() as onnx_folder:
        write_onnx(vae, Path(onnx_folder))
        for name in ("decoder", "generator"):
            model = openvino.convert_model(f"{onnx_folder}/{name}.onnx")
            # Rounded weights would also round the generator's table.
            openvino.save_model(model, path / f"{name}.xml", compress_to_fp16=False)
    return [
        Artifact(
            path.name,
            load_decoder(path / "decoder.xml"),
            load_generator(path / "generator.xml"),
        )
    ]
