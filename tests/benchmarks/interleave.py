"""Contenders in processes of their own, taking turns, and the statistics of it.

A machine is faster in one minute than in the next, so times are compared only within a
round: each contender does the same piece of work, one after the other, and a ratio is
the median of the ratios of the rounds. A contender waits in its process while others
work, so that the threads of two libraries never mix.

A contender is a function whose last argument is `done`. It prepares itself, then works
and calls `done(result)` after each piece; `done` waits for its turn and returns the
next request. Time runs from one return of `done` to the next call of it.
"""

import dataclasses
import importlib
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

PACKAGES = (
    "keras",
    "tensorflow",
    "torch",
    "torchvision",
    "jax",
    "numpy",
    "onnxruntime",
)


class ContenderError(Exception):
    """A contender is missing or has failed; the message says which."""


@dataclasses.dataclass
class Piece:
    """One piece of work."""

    seconds: float
    result: object
    peak_bytes: int
    """The process's peak memory so far."""


class Contender:
    """A contender in a fresh process.

    Args:
        function: a function at the top level of a module.
        *arguments: what it takes before `done`.

    Attributes:
        start_seconds: from the start of the process to the first call of `done`.

    Raises:
        ContenderError: if it fails while it prepares itself.
    """

    def __init__(self, function: Callable, *arguments):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, function, arguments), daemon=True
        )
        start = time.perf_counter()
        self._process.start()
        theirs.close()
        self._receive()
        self.start_seconds = time.perf_counter() - start

    def work(self, request=None) -> Piece:
        """Asks for one piece of work and waits for it."""
        self._connection.send(request)
        return self._receive()

    def _receive(self):
        try:
            piece = self._connection.recv()
        except EOFError:
            self._process.join()
            raise ContenderError(
                f"its process died with exit code {self._process.exitcode}"
            ) from None
        if isinstance(piece, str):
            self.close()
            raise ContenderError(piece)
        return piece

    def close(self):
        """Ends the process."""
        self._connection.close()
        self._process.join()


def _serve(connection, function, arguments):
    # otherwise JAX takes most of a GPU's memory before the others start
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        function(*arguments, _Done(connection))
    except ImportError as error:
        connection.send(f"missing: {error}")
    except Exception as error:  # whatever it is, the others go on without it
        connection.send(f"failed: {type(error).__name__}: {error}")


class _Done:
    def __init__(self, connection):
        self._connection = connection
        self._start = time.perf_counter()

    def __call__(self, result=None):
        seconds = time.perf_counter() - self._start
        self._connection.send(Piece(seconds, result, _peak_bytes()))
        try:
            request = self._connection.recv()
        except EOFError:
            raise SystemExit from None
        self._start = time.perf_counter()
        return request


def _peak_bytes():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def bench_extra(module: str):
    """Imports a module of the extra `bench`, or says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module} cannot be imported ({error}); pip install '.[bench]'"
        ) from error


def summary(values: Sequence[float]) -> dict[str, float]:
    """The median and the range of some measurements."""
    return {
        "median": float(np.median(values)),
        "min": float(np.min(values)),
        "max": float(np.max(values)),
    }


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """`summary` of ours / theirs, round by round."""
    return summary(np.divide(ours, theirs))


def spread(values: dict[str, float], digits: int = 3) -> str:
    """A `summary` as text: `2.250 (2.201-2.312)`."""
    median, low, high = (f"{value:.{digits}f}" for value in values.values())
    return f"{median} ({low}-{high})"


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Prints rows of text as a table in Markdown; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows = [rows[0], ["-" * width for width in widths], *rows[1:]]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(f"| {' | '.join(cells)} |", flush=True)


def write_report(path: Path | None, config, **results) -> None:
    """Writes what was measured, with what and where, as JSON.

    Args:
        path: the file, or None for none.
        config: the dataclass of options.
        **results: anything JSON can hold.
    """
    if path is None:
        return
    report = {
        "command": f"python -m {_module(config)}",
        "options": dataclasses.asdict(config),
        "environment": _environment(),
        **results,
    }
    path.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")
    print(f"written to {path}")


def _module(config):
    module = type(config).__module__
    return sys.modules[module].__spec__.name if module == "__main__" else module


def _environment():
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg(),
        "packages": versions,
    }


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if "model name" in x), "")
