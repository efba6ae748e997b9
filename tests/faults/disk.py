"""A disk that is full leaves the old files as they were, and is named in one line.

There are two: a limit on the size of a file, and a small disk where one may be mounted.
"""

import contextlib
import dataclasses
import importlib
import json
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

from keras_vae.cli import command
from keras_vae.runs.folder import RunFolder
from keras_vae.runs.model_file import save_model
from tests.faults import models, processes
from tests.faults.commands import Outcome, call, digests, failure_of
from tests.faults.kills import end_of
from tests.faults.tally import Tally

TRIES = 6
LEAST = 8_000  # bytes; TensorFlow writes smaller files of its own elsewhere
DISK = 2**20  # bytes
MUST = "exit 5, one line, old files as they were; or all is written"


class Target(NamedTuple):
    """What is written.

    Args:
        module: Its `main` writes it.
        argv: Its arguments, beside the run folder's.
        output: What the error must name, in the run folder.
        largest: Bytes; so large a file, and so much space, is enough.
    """

    module: str
    argv: tuple[str, ...]
    output: str
    largest: int


def full(seed: int):
    """Each target on each disk, with more and more space."""
    for disk in DISKS:
        for target in TARGETS:
            with tempfile.TemporaryDirectory() as folder:
                yield written(target, disk, Path(folder), TRIES)
        with tempfile.TemporaryDirectory() as folder:
            yield resumed(disk, Path(folder), TRIES)


def written(target: str, disk: str, folder: Path, tries: int) -> Tally:
    """Writes a target again and again, on a disk that is a little larger each time."""
    module, argv, output, largest = TARGETS[target]
    data, run = folder / "images.npz", folder / "disk" / "run"
    models.write_images(data)
    models.write_run(folder / "run", dataset=str(data))
    models.write_bundle(folder / "run" / "export")
    for name in ("metrics.json", "out.png", "out.gif"):
        (folder / "run" / name).write_text(json.dumps({"notes": "x" * 20_000}))
    tally, refused = Tally(f"{target}, {disk}", MUST), 0
    for space in np.linspace(LEAST, largest, tries, dtype=int):
        with DISKS[disk](run.parent, folder / "run", int(space)) as limit:
            before = digests(run)
            arguments = [arg.format(run=run) for arg in argv]
            outcome = in_process(limit, module, arguments)
            if outcome.status == 0:
                left = [*run.rglob(".*")]
                tally.count(f"left: {left}" if left else None)
                continue
            refused += 1
            failure = failure_of(outcome, 5, str(run / output))
            if digests(run) != before:
                failure = failure or "the old files are not as they were"
            tally.count(failure and f"{space} bytes: {failure}")
    tally.note = f"{refused} refused"
    return tally


def resumed(disk: str, folder: Path, tries: int) -> Tally:
    """Trains on a disk that is full, and goes on when it is not."""
    data, run = folder / "images.npz", folder / "disk" / "run"
    models.write_images(data)
    options = f"--dataset {data} --latent-dim 3 --batch-size 16 --export none".split()
    for name, epochs in (("whole", 4), ("run", 2)):
        train = [*options, "--epochs", str(epochs), "--output", str(folder / name)]
        assert in_process(None, "keras_vae.train", train).status == 0
    tally, refused = Tally(f"train, {disk}", f"{MUST}; resumed to the same bits"), 0
    argv = ["--resume", "--epochs", "4", "--output", str(run)]
    largest = 4 * max(path.stat().st_size for path in (folder / "run").rglob("*"))
    for space in np.linspace(LEAST, largest, tries, dtype=int):
        with DISKS[disk](run.parent, folder / "run", int(space)) as limit:
            outcome = in_process(limit, "keras_vae.train", argv)
            failure = None
            if outcome.status:
                refused += 1
                failure = failure_of(outcome, 5, str(run))
                (run.parent / "filler").unlink(missing_ok=True)
                again = in_process(None, "keras_vae.train", argv)
                failure = failure or (again.err if again.status else None)
            if not failure and end_of(run) != end_of(folder / "whole"):
                failure = "it ended otherwise"
            tally.count(failure and f"{space} bytes: {failure}")
    tally.note = f"{refused} refused"
    return tally


def in_process(limit: int | None, module: str, argv) -> Outcome:
    """Runs a command in a process of its own, where files have a largest size."""
    here, there = processes.CONTEXT.Pipe()
    process = processes.start(_run, there, limit, module, argv)
    there.close()
    try:
        return here.recv()
    finally:
        processes.kill_after(process, 10)


def _run(connection, limit, module, argv):
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    connection.send(call(importlib.import_module(module).main, *argv))


@dataclasses.dataclass(frozen=True)
class SaveConfig:
    """Write the weights of another model to a run's model.keras."""

    run: tyro.conf.Positional[Path]
    """The run folder."""


def save(config):
    save_model(models.model(1)[0], RunFolder(config.run))


def main(argv):
    return command(save, SaveConfig, argv)


# === The disks: each takes a folder to make, a run to put there, and the space left ===


@contextlib.contextmanager
def small_files(disk: Path, run: Path, space: int):
    disk.mkdir()
    shutil.copytree(run, disk / "run")
    yield space
    shutil.rmtree(disk)


@contextlib.contextmanager
def small_disk(disk: Path, run: Path, space: int):
    disk.mkdir()
    size = sum(path.stat().st_size for path in run.rglob("*"))
    options = ["-t", "tmpfs", "-o", f"size={DISK + 2 * size + space}"]
    subprocess.run(["mount", *options, "tmpfs", disk], check=True)
    try:
        shutil.copytree(run, disk / "run")
        free = shutil.disk_usage(disk).free
        (disk / "filler").write_bytes(bytes(max(free - space, 0)))
        yield None
    finally:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


def may_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder]
        try:
            done = subprocess.run(command, capture_output=True)
        except FileNotFoundError:
            return False
        if not done.returncode:
            subprocess.run(["umount", folder], check=True)
        return not done.returncode


DISKS = {"small files": small_files}
if may_mount():
    DISKS["small disk"] = small_disk

EXPORT = ("{run}", "--format")
TARGETS = {
    "model.keras": Target("tests.faults.disk", ("{run}",), "model.keras", 100_000),
    "export saved_model": Target(
        "export.__main__", (*EXPORT, "saved_model"), "export", 400_000
    ),
    "export onnx": Target("export.__main__", (*EXPORT, "onnx"), "export", 400_000),
    "export keras": Target("export.__main__", (*EXPORT, "keras"), "export", 100_000),
    "export c": Target("export.__main__", (*EXPORT, "c"), "export", 1_000_000),
    "generate": Target(
        "keras_vae.generate", ("{run}", "--output", "{run}/out.png"), "out.png", 60_000
    ),
    "evaluate": Target(
        "keras_vae.evaluate", ("{run}", "--num-samples", "2"), "metrics.json", 60_000
    ),
    "explore plots": Target(
        "keras_vae.explore",
        ("{run}", "plots", "--output", "{run}/out.png"),
        "out.png",
        200_000,
    ),
    "explore traverse": Target(
        "keras_vae.explore",
        ("{run}", "traverse", "--seed", "1", "--output", "{run}/out.gif"),
        "out.gif",
        100_000,
    ),
}
