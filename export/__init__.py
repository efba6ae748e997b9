"""The trained decoder, from Keras to anywhere.

`export_decoder` writes a folder of artifacts; each is compared with Keras in numbers
before it gets its name. Adding a format: one module, one row in `FORMATS`.
"""

import inspect
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from export.bundle import write_manifest
from export.parity import ROUNDED, ParityError, check_parity
from export.to_c import write_c
from export.to_keras import write_keras
from export.to_litert import write_litert
from export.to_onnx import write_onnx
from export.to_openvino import write_openvino
from export.to_saved_model import write_saved_model
from export.to_web import write_web
from keras_vae.errors import OutputError, UsageError, unknown


def export_decoder(
    vae,
    folder: str | Path,
    formats: Sequence[str] = ("saved_model", "onnx"),
    *,
    training: dict | None = None,
    verbose: bool = False,
    **options,
) -> dict[str, float]:
    """Writes the decoder of `vae` to `folder` in each of `formats`.

    Everything is first written beside `folder`, run, and compared with Keras; only when
    all artifacts agree are they moved in and described in `manifest.json`. A failure
    leaves what was there before. Artifacts of other weights are removed.

    Args:
        vae: a `VAE`, or any object with its `decoder`, `likelihood`, `prior`,
            `latent_dim`, `image_shape` and `num_classes`.
        folder: the bundle, e.g. `RUN/export`; made if it does not exist.
        formats: keys of `FORMATS`.
        training: facts about the training for the manifest; see `training_facts`.
        verbose: whether to print one line for each artifact.
        **options: passed to the formats that have them: `opset` (ONNX), `batch` (the
            fixed batch size of LiteRT), `weights` (ONNX, LiteRT: `float16`, `int8`).

    Returns:
        dict from artifact name to the largest absolute difference of a pixel in [0, 1].

    Raises:
        UsageError: for an unknown format, or an option that a format does not have.
        ModelError: if the decoder cannot be converted.
        ParityError: if an artifact differs from Keras by more than 1e-5.
        OutputError: if `folder` cannot be written.

    Example:
        >>> export_decoder(vae, "saved_models/vae/export", ["onnx"])
        {'decoder.onnx': 2.4e-07}
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown("export format", name, FORMATS)
    _check_options(formats, options)
    folder = Path(folder).absolute()
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; the export needs a folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    if hasattr(vae, "refresh_prior"):
        vae.refresh_prior()
    staging = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)  # of an export that was killed
    staging.mkdir()
    try:
        artifacts, format_of = [], {}
        for name in formats:
            known = {key: options[key] for key in options_of(name) if key in options}
            written = FORMATS[name](vae, staging, **known)
            artifacts += written
            format_of |= {artifact.name: name for artifact in written}
        errors = check_parity(vae, artifacts)
        for name, error in errors.items():
            if verbose:
                print(f"parity {name}: largest difference from Keras {error:.1e}")
        for artifact in artifacts:
            error = errors[artifact.name]
            if not error <= artifact.tolerance:
                raise ParityError(
                    f"{artifact.name} differs from Keras by {error:.1e}, more than the "
                    f"tolerance {artifact.tolerance:g}; {folder} is left as it was."
                )
        stale = write_manifest(
            vae, staging, folder, format_of, artifacts, errors, training
        )
        _publish(staging, folder, stale)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return errors


def options_of(name: str) -> tuple[str, ...]:
    """The options that a format has, read from its exporter's signature."""
    return tuple(inspect.signature(FORMATS[name]).parameters)[2:]


def _check_options(formats, options):
    for option in options:
        if not any(option in options_of(name) for name in formats):
            having = [name for name in FORMATS if option in options_of(name)]
            raise UsageError(
                f"None of the formats {', '.join(formats)} has the option {option}; "
                f"it belongs to {', '.join(having) or 'no format'}."
            )
    weights = options.get("weights", "float32")
    if weights not in ("float32", *ROUNDED):
        raise unknown("weights", weights, ["float32", *ROUNDED])


def _publish(staging: Path, folder: Path, stale: list[str]) -> None:
    """Moves everything in `staging` into `folder`, the manifest last."""
    for path in staging.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    folder.mkdir(exist_ok=True)
    names = sorted(os.listdir(staging), key=lambda name: name == "manifest.json")
    replaced = staging / ".replaced"
    replaced.mkdir()
    for name in [*stale, *names]:
        if name in stale or (folder / name).is_dir():  # only a file can be replaced
            if (folder / name).exists():
                os.rename(folder / name, replaced / name)
        if name in names:
            os.replace(staging / name, folder / name)


FORMATS = {
    "saved_model": write_saved_model,
    "onnx": write_onnx,
    "litert": write_litert,
    "openvino": write_openvino,
    "keras": write_keras,
    "c": write_c,
    "web": write_web,
}
