"""The trained decoder, from Keras to anywhere.

`export_decoder` writes a folder of artifacts; each is compared with Keras in numbers
before it gets its name. Adding a format: one module, one row in `export.formats`.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from export.bundle import class_names, latent_names, write_manifest
from export.formats import FORMATS
from export.parity import ROUNDED, ParityError, check_parity, verdict
from export.publish import earlier_export, publish, publishing, staging_folder
from keras_vae.cli import without_chatter
from keras_vae.errors import OutputError, UsageError, unknown
from keras_vae.files import written


def export_decoder(
    vae,
    folder: str | Path,
    formats: Sequence[str] = ("saved_model", "onnx"),
    *,
    training: dict | None = None,
    with_encoder: bool = False,
    verbose: bool = False,
    **options,
) -> dict[str, float]:
    """Writes the decoder of `vae` to `folder` in each of `formats`.

    Everything is first written beside `folder`, run, and compared with Keras; only when
    all artifacts agree are they moved in and described in `manifest.json`. A failure
    leaves what was there before. Artifacts of other weights are removed. Nothing is
    replaced or removed but what an earlier export wrote and nobody has changed since.

    Args:
        vae: a `VAE`.
        folder: the bundle, e.g. `RUN/export`; made if it does not exist.
        formats: keys of `FORMATS`.
        training: facts about the training for the manifest; see `training_facts`.
        with_encoder: whether to export the encoder, too: x -> mean and log_var of
            q(z|x), as `export.encoder` says, in each of the formats; in ONNX and for
            the web page also the score of an image. Without it the bundle has none, but
            what an earlier export of the same weights has left there.
        verbose: whether to print one line for each artifact.
        **options: passed to the formats that have them: `opset` (ONNX), `batch` (the
            fixed batch size of LiteRT), `weights` (ONNX, LiteRT: `float16`, `int8`).

    Returns:
        dict from artifact name to the largest absolute difference of a pixel in [0, 1].

    Raises:
        UsageError: for an unknown format, or an option that a format does not have; for
            an encoder whose posterior has no mean and variance in closed form (`iaf`),
            or with rounded weights.
        ModelError: if the decoder cannot be converted.
        ParityError: if an artifact differs from Keras by more than 1e-5.
        OutputError: if `folder` cannot be written, or something in it is in the way.
        ImportError: if something that a format needs is not installed.

    Example:
        >>> export_decoder(vae, "saved_models/vae/export", ["onnx"])
        {'decoder.onnx': 2.4e-07}
    """
    formats = list(dict.fromkeys(formats))
    for name in formats:
        if name not in FORMATS:
            raise unknown("export format", name, FORMATS)
    if not formats:
        raise UsageError(f"Name one or more formats: {', '.join(FORMATS)}.")
    _check_options(formats, options, with_encoder)
    folder = Path(folder).resolve()
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; the export needs a folder.")
    earlier_export(folder)  # refused now rather than after the work
    options |= {
        "with_encoder": with_encoder,
        "class_names": class_names(training, vae.num_classes),
        "latent_names": latent_names(training, vae.latent_dim),
    }
    vae.refresh_prior()
    with written(folder), staging_folder(folder) as staging:
        shown = tqdm(formats, "export", leave=False, disable=not verbose or None)
        made = {name: FORMATS[name].write(vae, staging, options) for name in shown}
        artifacts = [artifact for some in made.values() for artifact in some]
        with without_chatter() if verbose else contextlib.nullcontext():
            errors = check_parity(vae, artifacts)
        for artifact in artifacts if verbose else ():
            print(verdict(artifact, errors[artifact.name]), flush=True)
        for artifact in artifacts:
            error = errors[artifact.name]
            if not error <= artifact.tolerance:
                raise ParityError(
                    f"{artifact.name} differs from Keras by {error:.1e}, more than the "
                    f"tolerance {artifact.tolerance:g}; {folder} is left as it was."
                )
        with publishing(folder):
            earlier = earlier_export(folder)
            facts = training, with_encoder
            write_manifest(vae, staging, earlier, made, errors, *facts)
            publish(staging, folder)
    return errors


def _check_options(formats, options, with_encoder):
    for option in options:
        if not any(option in FORMATS[name].options() for name in formats):
            having = [name for name in FORMATS if option in FORMATS[name].options()]
            raise UsageError(
                f"None of the formats {', '.join(formats)} has the option {option}; "
                f"it belongs to {', '.join(having) or 'no format'}."
            )
    weights = options.get("weights", "float32")
    if weights not in ("float32", *ROUNDED):
        raise unknown("weights", weights, ["float32", *ROUNDED])
    if "batch" in options and weights != "float32":
        raise UsageError(
            f"Rounded weights have no file of a fixed batch size, got weights={weights}"
            " and batch; leave one of them out."
        )
    if with_encoder and weights != "float32":
        raise UsageError(
            f"Rounded weights are of a decoder alone, got weights={weights} and "
            "with_encoder; export the encoder by itself, without weights."
        )
