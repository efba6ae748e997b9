"""The table of export formats, at the foot: one row knows all about a format."""

import importlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Runtime:
    """What runs the files of a format.

    Attributes:
        module: name in `export.runtimes`, with `load_decoder` and, where the format has
            a generator, `load_generator`.
        encodes: whether it has `load_encoder`, and `load_score` where the format has a
            score.
        outside: whether another process does the work; its speed and memory cannot be
            measured from here.
    """

    module: str
    encodes: bool = False
    outside: bool = False


@dataclass(frozen=True)
class Format:
    """A format that the decoder is exported to.

    Attributes:
        writer: module and function in `export`; its arguments are the model, the folder
            and, by keyword, the format's options. It is imported when first used.
        decoder: the file or folder that a runtime's `load_decoder` opens.
        generator: the one that `load_generator` opens, or None.
        encoder: the one that `load_encoder` opens, written on request.
        score: the one that `load_score` opens, written with the encoder, or None.
        contents: what is written, in Markdown.
        runtimes: from name to `Runtime`.
        install: the command that installs what the format needs, or "".
        program: whether its files can hold code: trust their author.
    """

    writer: str
    decoder: str
    generator: str | None
    encoder: str
    contents: str
    runtimes: dict[str, Runtime]
    score: str | None = None
    install: str = ""
    program: bool = False

    @property
    def artifact(self) -> str:
        """The file or folder in the bundle that holds the decoder."""
        return self.decoder.split("/")[0]

    def load_writer(self):
        """The function that writes the format."""
        module, name = self.writer.split(".")
        return getattr(importlib.import_module(f"export.{module}"), name)

    def options(self) -> tuple[str, ...]:
        """The format's options, read from its writer's signature."""
        return tuple(inspect.signature(self.load_writer()).parameters)[2:]

    def write(self, vae, folder, options: dict) -> list:
        """Writes the format.

        Args:
            vae: the model whose decoder is written.
            folder: existing folder.
            options: those that the format does not have are left out.

        Returns:
            list of `Artifact`.

        Raises:
            ImportError: if something that the format needs is not installed.
        """
        known = {name: options[name] for name in self.options() if name in options}
        try:
            return self.load_writer()(vae, folder, **known)
        except ImportError as error:
            cause = str(error).rstrip(".")
            if not self.install or "; install" in cause:  # it says so itself
                raise
            raise ImportError(f"{cause}; run `{self.install}`.") from error

    def opened(self, artifact: str, files: Iterable[str]) -> dict[str, str]:
        """What a runtime opens of an artifact of this format.

        Args:
            artifact: file or folder name in the bundle, also of a variant such as
                `decoder_float16.onnx`.
            files: the files that it has, as paths in the bundle.

        Returns:
            dict from `decoder`, `generator`, `encoder` and `score`, which the runtime's
            `load_...` are called after, to the path of each that the artifact has.
        """
        paths = {
            "decoder": self.decoder,
            "generator": self.generator,
            "encoder": self.encoder,
            "score": self.score,
        }
        found = {
            name: path
            for name, path in paths.items()
            if path == artifact or path in files
        }
        return found or {"decoder": artifact + self.decoder.removeprefix(self.artifact)}


def has_encoder(entry: dict) -> bool:
    """Whether an artifact holds an encoder, or a score, by its entry in a manifest."""
    row = FORMATS.get(entry["format"])
    asked = {row.encoder, row.score} if row else {None}
    return any({name, name.split("/")[0]} & asked for name in entry["files"])


def table() -> str:
    """The formats as a Markdown table."""
    lines = ["| format | what is written | needs |", "|---|---|---|"]
    for name, row in FORMATS.items():
        needs = f"`{row.install}` " if row.install else ""
        lines.append(f"| `{name}` | {row.contents} | {needs}|")
    return "\n".join(lines) + "\n"


FORMATS = {
    "saved_model": Format(
        writer="to_saved_model.write_saved_model",
        decoder="saved_model",
        generator="saved_model",
        encoder="encoder_saved_model",
        contents="`saved_model/` with the signatures `decode` and `generate`",
        runtimes={"tensorflow": Runtime("python_tensorflow", encodes=True)},
        program=True,
    ),
    "onnx": Format(
        writer="to_onnx.write_onnx",
        decoder="decoder.onnx",
        generator="generator.onnx",
        encoder="encoder.onnx",
        score="score.onnx",
        contents="`decoder.onnx`, `generator.onnx`; the same weights give the same "
        "bytes",
        runtimes={
            "onnxruntime": Runtime("python_onnxruntime", encodes=True),
            "onnx": Runtime("python_onnx", encodes=True),
            "numpy": Runtime("numpy_only"),
            "opencv": Runtime("python_opencv"),
            "tract": Runtime("python_tract"),
            "node": Runtime("node_onnxruntime", outside=True),
        },
    ),
    "litert": Format(
        writer="to_litert.write_litert",
        decoder="decoder.tflite",
        generator="decoder.tflite",
        encoder="encoder.tflite",
        contents="`decoder.tflite`, and one of a fixed batch size",
        runtimes={"litert": Runtime("python_litert", encodes=True)},
        install="pip install '.[litert]'",
    ),
    "openvino": Format(
        writer="to_openvino.write_openvino",
        decoder="openvino/decoder.xml",
        generator="openvino/generator.xml",
        encoder="encoder_openvino/encoder.xml",
        contents="`openvino/`",
        runtimes={"openvino": Runtime("python_openvino", encodes=True)},
        install="pip install '.[openvino]'",
    ),
    "keras": Format(
        writer="to_keras.write_keras",
        decoder="decoder.keras",
        generator=None,
        encoder="encoder.keras",
        contents="`decoder.keras`, which loads without this package",
        runtimes={"keras": Runtime("python_keras", encodes=True)},
        program=True,
    ),
    "c": Format(
        writer="to_c.write_c",
        decoder="c",
        generator="c",
        encoder="encoder_c",
        contents="`c/`: C99 source with its weights, for gcc alone",
        runtimes={"c": Runtime("c_gcc", encodes=True)},
        install="pip install '.[c]'",
        program=True,
    ),
    "web": Format(
        writer="to_web.write_web",
        decoder="web",
        generator="web",
        encoder="web/encoder.onnx",
        score="web/score.onnx",
        contents="`web/`: a page to explore the latent space, for any static server, "
        "without other requests",
        runtimes={"chromium": Runtime("web_chromium", encodes=True, outside=True)},
        install="npm install --ignore-scripts onnxruntime-web",
        program=True,
    ),
}
