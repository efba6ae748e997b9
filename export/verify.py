"""`python -m export verify BUNDLE`: is somebody's bundle whole, and does it run right?

Checksums come first; nothing is loaded before they agree. Then each runtime that is
installed computes the golden vectors. TensorFlow is not needed. Formats that are
programs (SavedModel, Keras files, C, the web page) are run only on request.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.formats import FORMATS
from export.parity import ENCODED, SCORED, max_error, scaled_error
from export.reader import Bundle, find_bundle, read_bundle
from export.runtimes import load_runtime
from keras_vae.errors import ModelError, first_line


@dataclass(frozen=True)
class Check:
    """What one runtime says about the golden vectors.

    Attributes:
        runtime: a key of `RUNTIMES`.
        artifact: the file or folder it ran.
        error: largest |images - golden| of `decode` and `generate`, or `scaled_error`
            of encoder and score; None if skipped.
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
        One `Check` for each artifact in each runtime of its format that runs its kind.

    Raises:
        ModelError: if a file is damaged, missing or unsafe, or images are wrong.
    """
    checked = check_bundle(bundle)
    golden = checked.golden()
    return [
        _check(checked, golden, artifact, runtime, trust)
        for artifact, entry in checked.manifest["artifacts"].items()
        for runtime, row in FORMATS[entry["format"]].runtimes.items()
        if row.encodes or not _is_encoder(artifact, entry)
    ]


def _is_encoder(artifact, entry):
    opened = FORMATS[entry["format"]].opened(artifact, entry["files"])
    return not {"decoder", "generator"} & {*opened}


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
        return Check(
            runtime, artifact, None, note="not run, as it is a program: --trust runs it"
        )
    try:
        module = load_runtime(runtime)
    except ImportError as error:
        return Check(runtime, artifact, None, note=f"not installed: {error}")
    try:
        error, latents = _run(
            bundle, golden, module, row.opened(artifact, entry["files"])
        )
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


def _run(bundle, golden, module, opened):
    """The largest difference from the golden vectors, and whether z has their bits."""
    paths = {name: bundle.locate(path) for name, path in opened.items()}
    labels = [golden["label"]] if "label" in golden else []
    error, latents = 0.0, None
    if "decoder" in paths:
        images = module.load_decoder(paths["decoder"])(golden["z"], *labels)
        error = max_error(images, golden["images"])
    if "generator" in paths:
        names = ("seed", "num_images", "generate_label")
        call = [int(golden[name]) for name in names if golden[name] >= 0]
        images, z = module.load_generator(paths["generator"])(*call)
        error = max(error, max_error(images, golden["generated_images"]))
        latents = np.array_equal(z, golden["generated_z"])
    found = []
    if "encoder" in paths:
        values = module.load_encoder(paths["encoder"])(golden["x"], *labels)
        found += zip(values, ENCODED, strict=True)
    if "score" in paths:
        values = module.load_score(paths["score"])(golden["x"], *labels)
        found += zip(values, SCORED, strict=True)
    return max([error, *(scaled_error(a, golden[b]) for a, b in found)]), latents


def table(checks: list[Check]) -> str:
    """The checks as lines of text."""
    lines = []
    for check in checks:
        text = check.note
        if check.error is not None:
            text = f"largest difference {check.error:.1e}"
        if check.latents is not None:
            text += ", z identical" if check.latents else ", z to the last digits"
        lines.append(f"{check.runtime:<12} {check.artifact:<20} {text}")
    return "\n".join(lines)
