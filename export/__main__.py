"""`python -m export RUN`: its decoder, for any runtime.

`python -m export verify BUNDLE` checks it; `... matrix` compares every runtime.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from export import export_decoder
from export.bundle import training_facts
from export.formats import FORMATS
from export.reader import find_bundle
from keras_vae.cli import command, conclude, start_tensorflow
from keras_vae.errors import ModelError, to_type, unknown


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Export the decoder of a training run, and compare each artifact with Keras.

    `verify` instead of a run checks an exported folder; `matrix` compares every
    runtime with Keras. Each has its own --help.

    Examples:
      python -m export saved_models/vae --format saved_model onnx
      python -m export saved_models/vae --format onnx --weights int8
      python -m export verify saved_models/vae/export
    """

    run: tyro.conf.Positional[Path]
    """The run folder that `keras_vae.train` wrote."""
    format: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="{" + ",".join(FORMATS) + "} ...")
    ] = ("saved_model", "onnx")
    """What to write to RUN/export."""
    opset: int | None = None
    """ONNX: the version of the operator set, 17 or 18."""
    batch: int | None = None
    """LiteRT: the batch size of the file with a fixed one, at most 1,024."""
    weights: str | None = None
    """ONNX, LiteRT: float16 or int8 for a smaller decoder of its own; OpenVINO:
    float16."""
    with_encoder: bool = False
    """Also export the encoder, and in ONNX and for the web page the score."""
    benchmark: bool = False
    """Export nothing; measure what is in RUN/export in each runtime."""


@dataclasses.dataclass(frozen=True)
class VerifyConfig:
    """Check an exported folder: checksums, then each artifact in every runtime.

    Examples:
      python -m export verify saved_models/vae/export
      python -m export verify saved_models/vae/export --trust
    """

    bundle: tyro.conf.Positional[Path]
    """A run folder, or the folder with manifest.json itself."""
    trust: bool = False
    """Also run the formats that can hold code: SavedModel, Keras, C, web."""


def run_export(config: ExportConfig) -> None:
    """Loads the run, exports its decoder, prints one parity line an artifact.

    Args:
        config: the options.

    Raises:
        KerasVAEError: if there is no such run, or the export fails.
    """
    for name in config.format:
        if name not in FORMATS:
            raise unknown("export format", name, FORMATS)
    if not config.run.is_dir():
        raise ModelError(f"There is no run folder {config.run}.")
    if config.benchmark:
        from export.benchmark import benchmark

        print(benchmark(config.run))
        return
    if not (config.run / "config.json").is_file():
        raise ModelError(
            f"{config.run} holds no trained model (config.json is missing); give the "
            "folder that keras_vae.train wrote."
        )
    start_tensorflow()
    from keras_vae.runs.trained import load_run

    vae, _ = load_run(config.run)
    training = training_facts(config.run)
    folder = config.run / "export"
    options = {name: getattr(config, name) for name in ("opset", "batch", "weights")}
    options = {name: value for name, value in options.items() if value is not None}
    export_decoder(
        vae,
        folder,
        config.format,
        training=training,
        with_encoder=config.with_encoder,
        verbose=True,
        **options,
    )
    conclude(f"The decoder is in {folder}.", to_type("python -m export verify", folder))


def run_verify(config: VerifyConfig) -> None:
    """Prints what each runtime says about the bundle.

    Args:
        config: the options.

    Raises:
        ModelError: if the bundle is damaged.
    """
    from export.verify import table, verify

    bundle = find_bundle(config.bundle)
    print(table(verify(bundle, config.trust)))
    generate = to_type("python -m keras_vae.generate", config.bundle)
    conclude(f"{bundle} is whole.", generate)


@dataclasses.dataclass(frozen=True)
class MatrixConfig:
    """Compare every format in every runtime with Keras, on untrained models.

    Examples:
      python -m export matrix > matrix.md
    """


def run_matrix(config: MatrixConfig) -> None:
    """Prints the table, in Markdown.

    Args:
        config: there are no options.
    """
    start_tensorflow()
    from export.matrix import parity_matrix, table

    print(table(parity_matrix()))


# subcommand: what runs, and its options
COMMANDS = {
    "verify": (run_verify, VerifyConfig),
    "matrix": (run_matrix, MatrixConfig),
}


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        prog = f"python -m export {argv[0]}"
        return command(*COMMANDS[argv[0]], argv[1:], prog=prog)  # pyright: ignore
    return command(run_export, ExportConfig, argv, prog="python -m export")


if __name__ == "__main__":
    sys.exit(main())
