"""Files that appear whole or not at all, and folders that one process writes to."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from keras_vae.errors import OutputError, UsageError, first_line, shown

try:
    import fcntl
except ImportError:  # Windows: there two processes are not kept apart
    fcntl = None

PREFIX = ".tmp-"  # of a file that is not yet whole


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Gives a temporary sibling to write, and renames it to `path` if all went well.

    The file is flushed to disk before the rename and its folder after it, so that after
    a crash `path` holds either the old content or the new one. On an error the
    temporary file is removed. A link that somebody left under the temporary name is not
    followed.

    Args:
        path: the final name; its folder must exist.

    Yields:
        The temporary name; it ends as `path` does.

    Raises:
        OutputError: if it cannot be written.

    Example:
        >>> with replaced(Path("metrics.json")) as temporary:
        ...     temporary.write_text("{}")
    """
    temporary = path.with_name(f"{PREFIX}{path.name}")
    with written(path):
        temporary.unlink(missing_ok=True)
        try:
            yield temporary
            flush(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        flush(path.parent)


@contextlib.contextmanager
def written(path: Path) -> Iterator[None]:
    """Says of an `OSError` inside which file or folder could not be written, and why.

    Args:
        path: the name that the user knows.

    Raises:
        OutputError: instead of the `OSError`.
    """
    try:
        yield
    except OSError as error:
        cause = error.strerror or first_line(error)
        raise OutputError(
            f"{path} cannot be written ({cause}); free space or choose another output."
        ) from error


def flush(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name != "posix":  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path`, whole or not at all."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_path(path: Path) -> None:
    """Refuses what can be the path of no file, on whichever disk.

    Args:
        path: Of a file or folder that need not exist.

    Raises:
        UsageError: If it is too long, or holds a character that none may have.
    """
    for part in (path, *path.parts):  # what it is in need not exist either
        try:
            os.lstat(part)
            continue
        except ValueError:  # NUL, or half of a surrogate pair
            reason = "holds a character that no path can have"
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                continue
            reason = "is too long"
        raise UsageError(f"The path {shown(str(path))} {reason}; choose another.")


def check_folder(path: Path) -> None:
    """Refuses what can be the path of no folder to write to.

    Args:
        path: A folder that need not exist, nor those that it is in.

    Raises:
        UsageError: As `check_path`.
        OutputError: If a file is in the way, or may not be written there.
    """
    check_path(path)
    nearest = next(part for part in (path, *path.parents) if os.path.lexists(part))
    if not nearest.is_dir():  # a file, or a link that leads nowhere
        raise OutputError(f"The output {nearest} is not a folder; choose one.")
    if not os.access(nearest, os.W_OK):
        raise OutputError(
            f"The output {path} cannot be written, {nearest} is read-only; choose "
            "another folder."
        )


def check_file(path: Path) -> None:
    """Refuses what can be the path of no file to write.

    Args:
        path: A file that need not exist, in a folder that must.

    Raises:
        UsageError: As `check_path`, or if there is no such folder.
        OutputError: As `check_folder`, or if a folder has that name.
    """
    check_path(path)
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent} to write to.")
    check_folder(path.parent)
    if path.is_dir():
        raise OutputError(f"The output {path} is a folder; choose a file.")


@contextlib.contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Keeps other processes that ask out of a folder, to this one's end at the latest.

    The lock goes with the folder where that is renamed. A file system without locks
    gives none.

    Args:
        folder: it must exist.
        wait: whether to wait for it.

    Raises:
        BlockingIOError: if another process has it, and `wait` is False.
        OSError: if the folder cannot be opened.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            pass
        yield
    finally:
        os.close(handle)
