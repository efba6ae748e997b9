"""What a fuzzer aims at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st


class Target(NamedTuple):
    """Something that reads what strangers made.

    Args:
        what: What is read.
        cases: Makes it.
        read: Takes a case and an empty folder. Raises `KerasVAEError` where the case
            cannot be used, and `AssertionError` where the result is wrong.
    """

    what: str
    cases: st.SearchStrategy
    read: Callable[[Any, Path], None]


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path
