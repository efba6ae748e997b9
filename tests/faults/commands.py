"""Runs a command as a user would, and says what is wrong with how it ended."""

import contextlib
import hashlib
import io
import os
import resource
import subprocess
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LONGEST = 300  # characters of an error


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


def run(*argv, cwd=None, file_size=None, memory=None, timeout=120, env=None) -> Outcome:
    """Runs `python -m ARGV`.

    Args:
        *argv: The module and its arguments.
        cwd: The folder to run in.
        file_size: Bytes that a file may have (RLIMIT_FSIZE): a disk that is full.
        memory: Bytes of address space (RLIMIT_AS).
        timeout: Seconds until the test fails.
        env: Variables to add to the environment.
    """

    def limits():
        for kind, value in (
            (resource.RLIMIT_FSIZE, file_size),
            (resource.RLIMIT_AS, memory),
        ):
            if value is not None:
                resource.setrlimit(kind, (value, value))

    done = subprocess.run(
        [sys.executable, "-m", *map(str, argv)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        preexec_fn=limits,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def call(main, *argv) -> Outcome:
    """Runs a command in this process: its `main(ARGV)`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([*map(str, argv)])
        except Exception:  # as Python itself would end
            status = 1
            traceback.print_exc()
    return Outcome(status, out.getvalue(), err.getvalue())


def failure_of(outcome: Outcome, status: int, *words: str) -> str | None:
    """What is wrong with an error: exit status, one line, and what it must name."""
    if outcome.status != status:
        return f"exit status {outcome.status} instead of {status}: {outcome.err[-500:]}"
    if not outcome.err.startswith("keras-vae: error: ") or outcome.err.count("\n") != 1:
        return f"not one line of error: {outcome.err[-500:]}"
    if len(outcome.err) > LONGEST + len(str(ROOT)):
        return f"an error of {len(outcome.err)} characters: {outcome.err}"
    missing = [word for word in words if word not in outcome.err]
    return f"{missing} is not named in: {outcome.err}" if missing else None


def digests(folder: Path) -> dict[str, str]:
    """The content of every file below a folder, as {path: sha256}."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
