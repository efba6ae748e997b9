"""How an export takes its place: whole, one at a time, over nothing that is not ours.

Artifacts are made in a staging folder beside the bundle, each export in its own. Moving
them in is serialized by a lock. At any instant, also after a kill, readers find the old
bundle or the new one; what a killed export left behind, the next one brings to its end.
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
from keras_vae.files import fcntl, flush, locked
from keras_vae.runs.contents import MARKER, MOVING

NOTE = "An export of keras_vae that is not finished.\n"  # in the file `MARKER`
EARLIER = ".earlier"  # in a staging folder: with the manifest that is replaced


@contextlib.contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, removed at the end.

    Args:
        folder: the bundle that is to be written.

    Yields:
        The staging folder; it is locked as long as this process lives.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{folder.name}.partial-"
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        with locked(path):
            (path / MARKER).write_text(NOTE, encoding="utf-8")
            yield path
    finally:
        with contextlib.suppress(OSError):  # it has been published
            _remove(path)


@contextlib.contextmanager
def publishing(folder: Path) -> Iterator[None]:
    """Waits until no other export moves files beside `folder`, and keeps them waiting.

    Exports that were killed are finished if they were complete, otherwise removed. What
    lies there by such a name and is neither empty nor marked is not theirs, and stays.

    Args:
        folder: the bundle.
    """
    with locked(folder.parent, wait=True):
        settle(folder)
        for path in folder.parent.glob(f".{glob.escape(folder.name)}.partial-*"):
            if fcntl is None or path.is_symlink():
                continue
            # Another's lock, a folder that is not empty, one that has been published.
            with contextlib.suppress(OSError), locked(path):
                if _is_ours(path):
                    with contextlib.suppress(KerasVAEError):  # not complete
                        publish(path, folder)
                    _remove(path)
                else:
                    path.rmdir()
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
    """Puts what `staging` has into `folder`: at any instant the old bundle or the new.

    `staging` moves into `folder` as a whole, under the name `MOVING`; nobody looks into
    it. Then its manifest replaces the old one, and the bundle is the new one: readers
    look for a file in `MOVING` first (`Bundle.locate`). Last, `settle` moves the files
    to their places. Artifacts that are not in the new manifest are removed.

    Args:
        staging: holds artifacts and their manifest.
        folder: the bundle; made if it does not exist.

    Raises:
        ModelError: if `staging` is not complete.
        OutputError: if something would be replaced or removed that is not exactly what
            an earlier export has written; nothing is changed then.
    """
    new, earlier = read_bundle(staging), earlier_export(folder)
    names = {*new.manifest["artifacts"], *new.manifest["files"]}
    old = earlier.manifest["artifacts"] if earlier else {}
    written = [bundle for bundle in (earlier, Bundle(folder, new.manifest)) if bundle]
    for name in {*old, *names}:
        there = os.path.lexists(folder / name)
        if there:
            _check_ours(name, written)
        if name in names and (os.path.lexists(staging / name) or not there):
            _check(name, new)
    if os.path.lexists(folder / MOVING):
        raise OutputError(f"{folder / MOVING} is in the way; move it away.")
    _delete(staging / EARLIER)  # of a killed export
    if earlier:
        (staging / EARLIER).mkdir()
        shutil.copyfile(folder / "manifest.json", staging / EARLIER / "manifest.json")
    for path in (*staging.rglob("*"), staging):
        flush(path)
    folder.mkdir(exist_ok=True)
    os.rename(staging, folder / MOVING)
    flush(folder)
    settle(folder)


def settle(folder: Path) -> None:
    """Ends what `publish` has begun, if anything; also after kills.

    Args:
        folder: the bundle.
    """
    moving = folder / MOVING
    if not _is_ours(moving):
        with contextlib.suppress(OSError):  # a kill may leave it empty
            moving.rmdir()
        return
    if (moving / "manifest.json").exists():
        os.replace(moving / "manifest.json", folder / "manifest.json")
        flush(folder)
    manifest = read_bundle(folder).manifest
    replaced = Path(tempfile.mkdtemp(prefix=".replaced-", dir=moving))
    for name in (*manifest["artifacts"], *manifest["files"]):
        if (moving / name).is_dir():  # only a file can be replaced
            _rename(folder / name, replaced / name)
        _rename(moving / name, folder / name)
    with contextlib.suppress(ModelError):  # none earlier, or removed by then
        earlier = Bundle(folder, read_bundle(moving / EARLIER).manifest)
        for name in {*earlier.manifest["artifacts"]} - {*manifest["artifacts"]}:
            with contextlib.suppress(ModelError):  # somebody's own by now
                earlier.check(name)
                _rename(folder / name, replaced / name)
    flush(folder)
    _remove(moving)


def _rename(path, target):
    if os.path.lexists(path):
        os.replace(path, target)


def _remove(staging):
    """Removes a staging folder; what a kill leaves of it is ours, and not complete."""
    _delete(staging / "manifest.json")
    for path in staging.glob("*"):
        if path.name != MARKER:
            _delete(path)
    _delete(staging / MARKER)
    staging.rmdir()


def _delete(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_ours(name, written):
    """Refuses to touch what no export has written, byte for byte."""
    for bundle in written:
        with contextlib.suppress(ModelError):
            _check(name, bundle)
            return
    raise OutputError(
        f"{written[-1].path / name} is in the way: it is not, or no longer, what an "
        "earlier export has written; move it away."
    )


def _check(name, bundle):
    is_artifact = name in bundle.manifest["artifacts"]
    bundle.check(name) if is_artifact else bundle.read(name)


def _is_ours(staging):
    try:
        note = (staging / MARKER).read_bytes()
    except OSError:
        return False
    # a kill may have come before all of it was written
    return NOTE.encode().startswith(note) and not staging.is_symlink()
