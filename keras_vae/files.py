"""Files that appear whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Gives a temporary sibling to write, and renames it to `path` if all went well.

    The file is flushed to disk before the rename, so that after a crash `path` holds
    either the old content or the new one. On an error the temporary file is removed.

    Args:
        path: the final name; its folder must exist.

    Yields:
        The temporary name; it ends as `path` does.

    Raises:
        OSError: if it cannot be written.

    Example:
        >>> with replaced(Path("metrics.json")) as temporary:
        ...     temporary.write_text("{}")
    """
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path`, whole or not at all."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
