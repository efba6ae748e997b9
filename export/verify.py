"""`python -m export verify BUNDLE`: is somebody's bundle whole, and does it run right?

Checksums come first; nothing is loaded before they agree. Then each runtime that is
installed computes the golden vectors. TensorFlow is not needed. Formats that are
programs (SavedModel, Keras files, C) are run only on request.
"""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from export.bundle import serialized, sha256_of
from export.parity import max_error
from export.runtimes import RUNTIMES, load_runtime
from keras_vae.errors import ModelError

PROGRAMS = ("saved_model", "keras", "c", "web")  # formats that can hold code
MAX_MANIFEST, MAX_GOLDEN = 2**24, 2**28  # bytes


@dataclass(frozen=True)
class Check:
    """What one runtime says about the golden vectors.

    Attributes:
        runtime: a key of `RUNTIMES`.
        artifact: the file it ran.
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
    """Checks a bundle's files, and its images in every runtime that is installed.

    Args:
        bundle: folder with a `manifest.json`.
        trust: whether to run formats that can hold code, too.

    Returns:
        One `Check` for each runtime whose artifact is in the bundle.

    Raises:
        ModelError: if a file is damaged, missing or unsafe, or images are wrong.
    """
    bundle = Path(bundle)
    manifest = check_files(bundle)
    golden = _golden(bundle / "golden.npz")
    checks = [
        _check(bundle, manifest, golden, runtime, trust)
        for runtime, (_, path, _) in RUNTIMES.items()
        if _artifact(path) in manifest["artifacts"]
    ]
    exact = manifest["generator"]["exact_latents"]
    for check in checks:
        if check.error is not None and not check.error <= manifest["tolerance"]:
            raise ModelError(
                f"{check.artifact} in {check.runtime} differs from the golden vectors "
                f"by {check.error:.1e}, more than {manifest['tolerance']:g}."
            )
        if check.latents is False and exact:
            raise ModelError(
                f"{check.artifact} in {check.runtime} gives other latents for a seed."
            )
    return checks


def check_files(bundle: Path) -> dict:
    """Compares every file with the manifest, and the manifest with itself.

    Args:
        bundle: folder with a `manifest.json`.

    Returns:
        The manifest.

    Raises:
        ModelError: if a file is damaged, missing, a link, outside the bundle, or an
            ONNX file that refers to other files.
    """
    path = bundle / "manifest.json"
    if not path.is_file():
        raise ModelError(f"{bundle} is not a bundle: it has no manifest.json.")
    damaged = ModelError(f"{path} is damaged: its checksum does not agree.")
    if path.stat().st_size > MAX_MANIFEST:
        raise damaged
    try:
        text = path.read_text(encoding="utf-8")
        manifest = json.loads(text)
        if serialized(manifest) != text:
            raise damaged
        files = dict(manifest["files"])
        for artifact in manifest["artifacts"].values():
            files |= artifact["files"]
        checksums = {str(name): str(digest) for name, digest in files.items()}
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise damaged from error
    for name, digest in checksums.items():
        _check_file(bundle, name, digest)
    return manifest


def _check_file(bundle, name, digest):
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or not parts:
        raise ModelError(f"The manifest names a file outside the bundle: {name!r}.")
    path = bundle / name
    steps = [bundle.joinpath(*parts[: k + 1]) for k in range(len(parts))]
    if any(step.is_symlink() for step in steps):
        raise ModelError(f"{path} is a link; a bundle holds its own files.")
    if not path.is_file():
        raise ModelError(f"{path} is missing; the manifest names it.")
    if sha256_of(path) != digest:
        raise ModelError(f"{path} is damaged: its SHA-256 is not the manifest's.")
    # Weights kept in another file have a "location": a way to read any file at all.
    if path.suffix == ".onnx" and b"location" in path.read_bytes():
        raise ModelError(f"{path} refers to other files; a decoder holds its weights.")


def _golden(path):
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_GOLDEN:
                raise ModelError(f"{path} is too large for golden vectors.")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} holds no golden vectors: {error}") from error


def _artifact(path):
    return path.split("/")[0]


def _check(bundle, manifest, golden, runtime, trust):
    _, decoder, generator = RUNTIMES[runtime]
    artifact = _artifact(decoder)
    if manifest["artifacts"][artifact]["format"] in PROGRAMS and not trust:
        return Check(runtime, artifact, None, note="a program: runs with --trust only")
    try:
        module = load_runtime(runtime)
    except ImportError as error:
        return Check(runtime, artifact, None, note=f"not installed: {error}")
    labels = [golden["label"]] if "label" in golden else []
    images = module.load_decoder(bundle / decoder)(golden["z"], *labels)
    error, latents = max_error(images, golden["images"]), None
    if generator is not None:
        names = ("seed", "num_images", "generate_label")
        call = [int(golden[name]) for name in names if golden[name] >= 0]
        images, z = module.load_generator(bundle / generator)(*call)
        error = max(error, max_error(images, golden["generated_images"]))
        latents = np.array_equal(z, golden["generated_z"])
    return Check(runtime, artifact, error, latents)


def table(checks: list[Check]) -> str:
    """The checks as lines of text."""
    lines = []
    for check in checks:
        text = check.note
        if check.error is not None:
            text = f"largest difference {check.error:.1e}"
        if check.latents is not None:
            text += ", z identical" if check.latents else ", z not identical"
        lines.append(f"{check.runtime:<12} {check.artifact:<15} {text}")
    return "\n".join(lines)
