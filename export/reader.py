"""Reads somebody's bundle: nothing in it is believed before it is checked.

The manifest is a stranger's data. Its names must stay inside the bundle, files are
compared with their SHA-256 before they are used, and an ONNX file must hold its weights
itself: one that refers to other files could read any file of the machine.
"""

import hashlib
import io
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.manifest import check_manifest, serialized
from export.onnx_file import check_onnx
from keras_vae.distributions.portable_noise import MAX_SEED
from keras_vae.errors import ModelError, first_line, to_type
from keras_vae.run_paths import at_hand
from keras_vae.runs.contents import MARKER, MOVING

MAX_MANIFEST, MAX_GOLDEN, MAX_FILE = 2**24, 2**28, 2**31  # bytes


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest is valid.

    Attributes:
        path: its folder.
        manifest: what `manifest.json` says.
    """

    path: Path
    manifest: dict

    def files(self, artifact: str | None = None) -> dict[str, str]:
        """From name to SHA-256: an artifact's files, or None's: those beside them."""
        if artifact is None:
            return self.manifest["files"]
        return self.manifest["artifacts"][artifact]["files"]

    def locate(self, name: str) -> Path:
        """Where a file or folder of the bundle is: in its place, or on its way there.

        An export that was killed may have left some in the folder `MOVING`, which is
        part of the bundle once it has given away its manifest; see `publish`.
        """
        moving = self.path / MOVING
        waiting = os.path.lexists(moving / name) and not moving.is_symlink()
        if waiting and (moving / MARKER).is_file():
            if not (moving / "manifest.json").exists():
                return moving / name
        return self.path / name

    def read(self, name: str) -> bytes:
        """A file's content, if it is what the manifest says.

        Args:
            name: path inside the bundle.

        Returns:
            bytes.

        Raises:
            ModelError: if the file is not in the manifest, damaged, missing, a link,
                too large, or an ONNX file that refers to other files.
        """
        parts, files = name.split("/"), self.files()
        if parts[0] in self.manifest["artifacts"]:
            files = self.files(parts[0])
        if name not in files:
            raise ModelError(f"{self.path / 'manifest.json'} does not describe {name}.")
        path = self.locate(name)
        if any(step.is_symlink() for step in (path, *path.parents[: len(parts) - 1])):
            raise ModelError(f"{path} is a link; a bundle holds its own files.")
        if not path.is_file():
            raise ModelError(f"{path} is missing; the manifest names it.")
        data = read_file(path)
        if hashlib.sha256(data).hexdigest() != files[name]:
            raise ModelError(f"{path} is damaged: its SHA-256 is not the manifest's.")
        if path.suffix == ".onnx":
            check_onnx(path, data)
        return data

    def check(self, artifact: str | None = None) -> None:
        """Reads all files of an artifact, or of None: those beside the artifacts.

        Raises:
            ModelError: as `read`; or if the artifact's folder holds a file that is not
                in the manifest, which a runtime might open.
        """
        files = self.files(artifact)
        for name in files:
            self.read(name)
        if artifact is None:
            return
        folder = self.locate(artifact)
        for path in folder.rglob("*"):
            known = path.relative_to(folder.parent).as_posix() in files
            if not known and (path.is_symlink() or not path.is_dir()):
                raise ModelError(f"{path} is not in the manifest.")

    def golden(self) -> dict[str, np.ndarray]:
        """The golden vectors; `export.bundle.golden_vectors` says which.

        Raises:
            ModelError: if the file is damaged, too large, or not of this decoder.
        """
        data = io.BytesIO(self.read("golden.npz"))
        try:
            with zipfile.ZipFile(data) as archive:
                if sum(member.file_size for member in archive.infolist()) > MAX_GOLDEN:
                    raise ValueError("it is too large")
            data.seek(0)
            with np.load(data, allow_pickle=False) as arrays:
                golden = {name: arrays[name] for name in arrays}
            _check_golden(golden, self.manifest)
        except Exception as error:  # a hostile archive raises almost anything
            path = self.path / "golden.npz"
            reason = first_line(error)
            raise ModelError(f"{path} holds no golden vectors: {reason}.") from error
        return golden


def find_bundle(path: str | Path) -> Path:
    """The bundle's folder: `path` itself, or the folder `export` of a run folder.

    A model that came with the package is found from anywhere; see `at_hand`.
    """
    path = at_hand(path)
    run = (path / "export").is_dir() and not (path / "manifest.json").is_file()
    return path / "export" if run else path


def read_bundle(path: str | Path) -> Bundle:
    """A bundle, after its manifest was checked; its files are still to be.

    Args:
        path: folder with a `manifest.json`.

    Returns:
        The bundle.

    Raises:
        ModelError: if there is no manifest, or it is damaged, too large, or not one
            that this program writes.

    Example:
        >>> read_bundle("saved_models/vae/export").manifest["latent_dim"]
        20
    """
    folder = Path(path)
    path = folder / "manifest.json"
    if not path.is_file():
        advice = ""
        if (folder / "config.json").is_file():  # a run
            advice = f" Write one with `{to_type('python -m export', folder)}`."
        raise ModelError(f"{folder} is not a bundle: it has no manifest.json.{advice}")
    damaged = ModelError(f"{path} is damaged: its checksum does not agree.")
    if path.is_symlink() or path.stat().st_size > MAX_MANIFEST:
        raise damaged
    try:
        text = path.read_bytes().decode()
        manifest = json.loads(text)
        if not isinstance(manifest, dict) or serialized(manifest) != text:
            raise damaged
    except (ValueError, RecursionError) as error:
        raise damaged from error
    try:
        check_manifest(manifest)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ModelError(f"{path} is not a manifest of this program.") from error
    return Bundle(folder, manifest)


def read_file(path: Path) -> bytes:
    """The content of a file that may be a decoder.

    Raises:
        ModelError: if it is too large for one.
    """
    if path.stat().st_size > MAX_FILE:
        raise ModelError(f"{path} is larger than any decoder: it has 2 GiB or more.")
    return path.read_bytes()


def _check_golden(golden, manifest):
    """Raises ValueError or KeyError unless the arrays are inputs and images."""
    latents, image = (manifest["latent_dim"],), tuple(manifest["image_shape"])
    classes = manifest["num_classes"]
    rows, draws = len(golden["z"]), len(golden["generated_z"])
    expected = {
        "z": ("f4", (rows, *latents)),
        "images": ("f4", (rows, *image)),
        "generated_z": ("f4", (draws, *latents)),
        "generated_images": ("f4", (draws, *image)),
        **dict.fromkeys(("seed", "num_images", "generate_label"), ("i8", ())),
    }
    if "encoder" in manifest:
        expected |= {
            "x": ("f4", (rows, *image)),
            "reconstruction": ("f4", (rows, *image)),
            "elbo_at_mean": ("f4", (rows,)),
            **dict.fromkeys(("mean", "log_var"), ("f4", (rows, *latents))),
        }
    if classes is not None:
        expected["label"] = ("i8", (rows,))
    for name, (dtype, shape) in expected.items():
        array = golden[name]
        if (array.dtype, array.shape) != (np.dtype(dtype), shape) or not array.size:
            raise ValueError(f"{name} is {array.dtype} {array.shape}")
    labels = range(classes) if classes is not None else [-1]
    asked = {*np.append(golden.get("label", labels[0]), golden["generate_label"])}
    if {*golden} != {*expected} or not asked <= {*labels}:
        raise ValueError("its arrays or labels are not this decoder's")
    if not 0 <= golden["seed"] < MAX_SEED or golden["num_images"] != draws:
        raise ValueError("its seed or number of images is out of range")
