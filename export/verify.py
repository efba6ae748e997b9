"""`python -m export verify BUNDLE`: is somebody's bundle whole, and does it run right?

Checksums come first; nothing is loaded before they agree. Then each runtime that is
installed computes the golden vectors. TensorFlow is not needed. Formats that are
programs (SavedModel, Keras files, C, the web page) are run only on request.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.formats import FORMATS
from export.parity import max_error
from export.reader import Bundle, find_bundle, read_bundle
from export.runtimes import load_runtime
from keras_vae.errors import ModelError, first_line


@dataclass(frozen=True)
class Check:
    """What one runtime says about the golden vectors.

    Attributes:
        runtime: a key of `RUNTIMES`.
        artifact: the file or folder it ran.
        error: largest |images - golden| of `decode` and `generate`; None if skipped.
        latents: whether z has the golden bits; None where there is no generator.
        note: why it was skipped, or empty.
    """

    runtime: str
    artifact: str
    error: float | None
    latents: bool | None = None
    note: str = ""


def verify(bundle: str | Path, trust: bool = False) -> list[Check]:
    """Checks a bundle's files, and each artifact in every runtime that is installed.

    Args:
        bundle: folder with a `manifest.json`, or a run folder whose `export` has it.
        trust: whether to run formats that can hold code, too.

    Returns:
        One `Check` for each artifact in each runtime of its format.

    Raises:
        ModelError: if a file is damaged, missing or unsafe, or images are wrong.
    """
    checked = check_bundle(bundle)
    golden = checked.golden()
    return [
        _check(checked, golden, artifact, runtime, trust)
        for artifact, entry in checked.manifest["artifacts"].items()
        for runtime in FORMATS[entry["format"]].runtimes
    ]


def check_bundle(path: str | Path) -> Bundle:
    """A bundle of which every file was checked.

    Args:
        path: folder with a `manifest.json`, or a run folder whose `export` has it.

    Returns:
        The bundle.

    Raises:
        ModelError: if a file is damaged, missing or unsafe, or a format unknown.
    """
    bundle = read_bundle(find_bundle(path))
    for artifact in (None, *bundle.manifest["artifacts"]):
        bundle.check(artifact)
    for artifact, entry in bundle.manifest["artifacts"].items():
        row = FORMATS.get(entry["format"])
        # The suffix, too: what is opened as ONNX was checked as ONNX.
        if row is None or Path(artifact).suffix != Path(row.artifact).suffix:
            raise ModelError(
                f"{bundle.path / artifact} has the format {entry['format']!r}, which "
                "this version does not know; verify it with a newer one."
            )
    return bundle


def _check(bundle, golden, artifact, runtime, trust):
    entry = bundle.manifest["artifacts"][artifact]
    row = FORMATS[entry["format"]]
    if row.program and not trust:
        return Check(runtime, artifact, None, note="a program: runs with --trust only")
    try:
        module = load_runtime(runtime)
    except ImportError as error:
        return Check(runtime, artifact, None, note=f"not installed: {error}")
    try:
        error, latents = _run(bundle, golden, module, *row.opened(artifact))
    except Exception as error:  # the runtimes' errors have no common class
        raise ModelError(
            f"{bundle.path / artifact} does not run in {runtime}: {first_line(error)}"
        ) from error
    if not error <= entry["tolerance"]:
        raise ModelError(
            f"{bundle.path / artifact} in {runtime} differs from the golden vectors by "
            f"{error:.1e}, more than {entry['tolerance']:g}."
        )
    if latents is False and bundle.manifest["generator"]["exact_latents"]:
        raise ModelError(
            f"{bundle.path / artifact} in {runtime} gives other latents for a seed."
        )
    return Check(runtime, artifact, error, latents)


def _run(bundle, golden, module, decoder, generator):
    """The largest difference from the golden images, and whether z has their bits."""
    error, latents = 0.0, None
    if decoder is not None:
        inputs = [golden[name] for name in ("z", "label") if name in golden]
        images = module.load_decoder(bundle.locate(decoder))(*inputs)
        error = max_error(images, golden["images"])
    if generator is not None:
        names = ("seed", "num_images", "generate_label")
        call = [int(golden[name]) for name in names if golden[name] >= 0]
        images, z = module.load_generator(bundle.locate(generator))(*call)
        error = max(error, max_error(images, golden["generated_images"]))
        latents = np.array_equal(z, golden["generated_z"])
    return error, latents


def table(checks: list[Check]) -> str:
    """The checks as lines of text."""
    lines = []
    for check in checks:
        text = check.note
        if check.error is not None:
            text = f"largest difference {check.error:.1e}"
        if check.latents is not None:
            text += ", z identical" if check.latents else ", z not identical"
        lines.append(f"{check.runtime:<12} {check.artifact:<20} {text}")
    return "\n".join(lines)
