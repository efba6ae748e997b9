"""How an export takes its place: whole, one at a time, over nothing that is not ours.

Artifacts are made in a staging folder beside the bundle, each export in its own. Moving
them in is serialized by a lock. What an export that was killed meanwhile left behind is
brought to its end by the next one.
"""

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from export.reader import Bundle, read_bundle
from keras_vae.errors import KerasVAEError, ModelError, OutputError
from keras_vae.runs.folder import MARKER

try:
    import fcntl
except ImportError:  # Windows: exports at the same time are then up to the user
    fcntl = None

NOTE = "An export of keras_vae that is not finished.\n"  # in the file `MARKER`


@contextlib.contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, removed at the end.

    Args:
        folder: the bundle that is to be written.

    Yields:
        The staging folder; it is locked as long as this process lives.
    """
    prefix = f".{folder.name}.partial-"
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        with _locked(path):
            (path / MARKER).write_text(NOTE, encoding="utf-8")
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def publishing(folder: Path) -> Iterator[None]:
    """Waits until no other export moves files beside `folder`, and keeps them waiting.

    Exports that were killed are finished if they were complete, otherwise removed.

    Args:
        folder: the bundle.
    """
    with _locked(folder.parent):
        for path in folder.parent.glob(f".{glob.escape(folder.name)}.partial-*"):
            if fcntl is None or path.is_symlink() or not _is_ours(path):
                continue
            with contextlib.suppress(BlockingIOError), _locked(path, wait=False):
                with contextlib.suppress(KerasVAEError):  # not complete, or in the way
                    publish(path, folder)
                shutil.rmtree(path, ignore_errors=True)
        yield


def earlier_export(folder: Path) -> Bundle | None:
    """The bundle that is in `folder` already, or None.

    Args:
        folder: where an export is to be written.

    Raises:
        OutputError: if it has a `manifest.json` that no export has written.
    """
    path = folder / "manifest.json"
    if not os.path.lexists(path):
        return None
    try:
        return read_bundle(folder)
    except ModelError as error:
        raise OutputError(
            f"{path} is in the way, for it is no manifest of an earlier export; move "
            "it away."
        ) from error


def publish(staging: Path, folder: Path) -> None:
    """Moves what `staging` has into `folder`, the manifest last.

    Artifacts that are not in the new manifest are removed.

    Args:
        staging: holds artifacts and their manifest.
        folder: the bundle; made if it does not exist.

    Raises:
        ModelError: if `staging` has no manifest.
        OutputError: if something would be replaced or removed that is not exactly what
            an earlier export has written; nothing is changed then.
    """
    manifest = read_bundle(staging).manifest
    earlier = earlier_export(folder)
    names = [*manifest["artifacts"], *manifest["files"], "manifest.json"]
    names = [name for name in names if (staging / name).exists()]
    old = earlier.manifest["artifacts"] if earlier else {}
    stale = [name for name in old if name not in manifest["artifacts"]]
    # What a killed export has moved already is described by the new manifest.
    written = [bundle for bundle in (earlier, Bundle(folder, manifest)) if bundle]
    for name in [*old, *names]:
        if os.path.lexists(folder / name) and name != "manifest.json":
            _check_ours(name, written)
    for path in staging.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    folder.mkdir(exist_ok=True)
    replaced = Path(tempfile.mkdtemp(prefix=".replaced-", dir=staging))
    for name in [*stale, *names]:
        if name in stale or (folder / name).is_dir():  # only a file can be replaced
            if (folder / name).exists():
                os.rename(folder / name, replaced / name)
        if name in names:
            os.replace(staging / name, folder / name)


def _check_ours(name, written):
    """Refuses to touch what no export has written, byte for byte."""
    for bundle in written:
        with contextlib.suppress(ModelError):
            is_artifact = name in bundle.manifest["artifacts"]
            bundle.check(name) if is_artifact else bundle.read(name)
            return
    raise OutputError(
        f"{written[-1].path / name} is in the way: it is not, or no longer, what an "
        "earlier export has written; move it away."
    )


def _is_ours(staging):
    try:
        return (staging / MARKER).read_bytes() == NOTE.encode()
    except OSError:
        return False


@contextlib.contextmanager
def _locked(folder, wait=True):
    """Holds a lock on a folder; it ends with the process at the latest."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
