"""`python -m export RUN`: its decoder, for any runtime.

`python -m export verify BUNDLE` checks it, `... serve BUNDLE` serves it over HTTP, and
`... matrix` compares every runtime.
"""

import ipaddress
import sys
from pathlib import Path
from typing import Annotated

import tyro

from export import export_decoder
from export.bundle import training_facts
from export.formats import FORMATS
from export.reader import find_bundle
from keras_vae.cli import command, conclude, start_tensorflow, without_chatter
from keras_vae.errors import UsageError, number, to_type, unknown, whole_number
from keras_vae.options import options
from keras_vae.run_paths import missing


@options
class ExportConfig:
    """Export the decoder of a training run, and compare each artifact with Keras.

    `verify` instead of a run checks an exported folder, `serve` serves its images over
    HTTP, and `matrix` compares every runtime with Keras; each has its own --help.

    Examples:
      python -m export saved_models/vae --format saved_model onnx
      python -m export saved_models/vae --format onnx --weights int8
      python -m export verify saved_models/vae/export
      python -m export serve saved_models/vae/export
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
    trust: bool = False
    """With --benchmark: measure the formats that can hold code, too: SavedModel, Keras,
    C, web."""


@options
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
    if not config.run.exists():
        raise missing(config.run)
    if config.benchmark:
        from export.benchmark import benchmark

        print(benchmark(config.run, config.trust))
        return
    from keras_vae.runs.folder import RunFolder

    RunFolder(config.run).check_finished()
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
    check = to_type("python -m export verify", folder)
    if any(FORMATS[name].program for name in config.format):
        check += " --trust"
    # earlier exports are there, too
    served = "web" in config.format and (folder / "decoder.onnx").is_file()
    serve = [to_type("python -m export serve", folder)] if served else []
    conclude(f"The decoder is in {folder}.", check, *serve)


def run_verify(config: VerifyConfig) -> None:
    """Prints what each runtime says about the bundle.

    Args:
        config: the options.

    Raises:
        ModelError: if the bundle is damaged.
    """
    from export.verify import table, verify

    bundle = find_bundle(config.bundle)
    with without_chatter():  # of the runtimes
        checks = verify(bundle, config.trust)
    print(table(checks))
    generate = []
    if (bundle / "decoder.onnx").is_file():
        generate = [to_type("python -m keras_vae.generate", config.bundle)]
    conclude(f"{bundle} is whole.", *generate)


@options
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


@options
class ServeConfig:
    """Serve images of an exported folder over HTTP, with ONNX Runtime alone.

    `GET /images.png?seed=7&num_images=64`, `POST /decode`, `GET /health`, and `GET /`
    for the explorer page where the folder has one; see .github/guides/serving.md.

    Examples:
      python -m export serve saved_models/vae/export
      python -m export serve saved_models/vae --port 8080 --rate 5
      python -m export serve saved_models/vae --host 0.0.0.0 --proxy 172.17.0.1
    """

    bundle: tyro.conf.Positional[Path]
    """A run folder, or the folder with manifest.json itself."""
    host: str = "127.0.0.1"
    """The address to listen at: this machine alone; 0.0.0.0 for all that can reach
    it."""
    port: int = 8000
    """The port; 0 for any that is free."""
    proxy: str | None = None
    """The address of a proxy whose X-Forwarded-For is believed, or its network."""
    max_images: int = 1024
    """Images in one reply."""
    max_values: int = 2**22
    """Pixels times channels of all images in one reply; a quarter of it as JSON."""
    max_body: int = 2**20
    """Bytes of a request's body."""
    max_requests: int = 32
    """Requests that are seen to at the same time."""
    rate: float = 20.0
    """Requests a second from one address, in the long run; 0 for any number."""
    burst: int = 40
    """Requests from one address that may come at once."""


def run_serve(config: ServeConfig) -> None:
    """Serves until Ctrl-C or SIGTERM.

    Args:
        config: the options.

    Raises:
        UsageError: if one is out of range, or no address.
        ModelError: if the bundle is damaged, or has no ONNX decoder.
        ImportError: if what serves is not installed.
    """
    whole_number("port", config.port, 0, 65_535)
    if config.proxy is not None:
        try:
            ipaddress.ip_network(config.proxy)
        except ValueError:
            raise UsageError(
                "proxy must be an address or a network, as 172.17.0.1 or 172.17.0.0/16;"
                f" got {config.proxy!r}."
            ) from None
    for name in ("max_images", "max_values", "max_body", "max_requests", "burst"):
        whole_number(name, getattr(config, name), 1, 2**30)
    number("rate", config.rate, maximum=1e9)
    try:
        from export.limits import Limits
        from export.serve import serve
    except ImportError as error:
        raise ImportError(f"{error}; run `pip install '.[serve]'`.") from error

    limits = Limits(
        images=config.max_images,
        values=config.max_values,
        body=config.max_body,
        requests=config.max_requests,
        rate=config.rate or None,
        burst=config.burst,
    )
    serve(config.bundle, config.host, config.port, limits, config.proxy)


# subcommand: what runs, and its options
COMMANDS = {
    "verify": (run_verify, VerifyConfig),
    "serve": (run_serve, ServeConfig),
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
