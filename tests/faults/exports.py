"""A save or an export that is killed anywhere leaves the old or the new, and whole."""

import itertools
import os
import shutil
import signal
import stat
import sys
import tempfile
from pathlib import Path

import numpy as np

from export import export_decoder
from export.bundle import weights_sha256
from export.publish import publish, publishing, staging_folder
from export.verify import check_bundle
from keras_vae.errors import KerasVAEError
from keras_vae.runs.folder import RunFolder
from keras_vae.runs.model_file import save_model
from keras_vae.runs.trained import load_run
from tests.faults import models, processes
from tests.faults.tally import Tally

KILLS = 100
FORMATS = {1: ["keras"], 2: ["saved_model", "keras"]}  # of models by their seed
MUST = "the old or the new one is there, whole, and the next try succeeds"


def full(seed: int):
    """A hundred kills of saves and of exports, and one at each of their steps."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        for faults in (Saves(Path(folder) / "run"), Exports(Path(folder) / "exports")):
            yield faults.at_random(KILLS, rng)
            yield faults.at_each_step()


class Saves:
    """`model.keras` and its checksum, saved with the weights of two models in turn."""

    what, seconds = "a save", 0.3  # of a few saves

    def __init__(self, root: Path):
        self.root = root
        self.known = {
            seed: weights_sha256(models.write_run(root, seed)) for seed in FORMATS
        }

    def write(self, seed):
        save_model(models.model(seed)[0], RunFolder(self.root))

    def again(self):
        self.write(1)

    def forever(self, ready):
        written = [models.model(seed)[0] for seed in FORMATS]
        ready.set()
        for vae in itertools.cycle(written):
            save_model(vae, RunFolder(self.root))

    def state(self):
        return weights_sha256(load_run(self.root)[0])

    def leftovers(self):
        known = {"config.json", "model.keras", "SHA256SUMS"}
        return {path.name for path in self.root.iterdir()} - known

    # === The two ways to be killed ===

    def at_random(self, kills: int, rng) -> Tally:
        tally = Tally(f"SIGKILL inside {self.what}, at random", MUST)
        for _ in range(kills):
            ready = processes.CONTEXT.Event()
            process = processes.start(self.forever, ready)
            ready.wait(60)
            if processes.kill_after(process, rng.uniform(0, self.seconds)):
                tally.count(self.failure())
            else:
                tally.count(f"it ended by itself: exit status {process.exitcode}")
        return tally

    def at_each_step(self, every: int = 1) -> Tally:
        """From the one model to the other and back, killed at every so manyth step."""
        tally = Tally(f"SIGKILL at each step of {self.what}", MUST)
        for old, new in (FORMATS, reversed(FORMATS)):
            for step in itertools.count(0, every):
                self.write(old)
                process = processes.start(die_at, step, self.root, self.write, new)
                if not processes.kill_after(process, 60):
                    if process.exitcode:
                        tally.count(f"step {step}: exit status {process.exitcode}")
                    break  # there are no more
                failure = self.failure()
                tally.count(failure and f"step {step} to {new}: {failure}")
        return tally

    def failure(self) -> str | None:
        try:
            if self.state() not in self.known.values():
                return "other weights"
            self.again()
            if self.state() != self.known[1]:
                return "the next try is not what is there"
        except (KerasVAEError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        return f"left: {left}" if (left := self.leftovers()) else None


class Exports(Saves):
    """A bundle, exported with the weights of two models in turn, in other formats."""

    what, seconds = "an export", 3.0

    def __init__(self, root: Path):
        self.root, self.folder = root, root / "bundle"
        self.made = {seed: root.with_name(f"made-{seed}") for seed in FORMATS}
        self.known = {
            seed: weights_sha256(models.write_bundle(folder, FORMATS[seed], seed))
            for seed, folder in self.made.items()
        }
        self.write(1)

    def write(self, seed):
        """The files of an export that is made already take their place."""
        with staging_folder(self.folder) as staging:
            shutil.copytree(self.made[seed], staging, dirs_exist_ok=True)
            with publishing(self.folder):
                publish(staging, self.folder)

    def again(self):
        models.write_bundle(self.folder, FORMATS[1], 1)

    def forever(self, ready):
        written = {seed: models.model(seed)[0] for seed in FORMATS}
        ready.set()
        for seed in itertools.cycle(written):
            export_decoder(written[seed], self.folder, FORMATS[seed])

    def state(self):
        return check_bundle(self.folder).manifest["weights_sha256"]

    def leftovers(self):
        there = {*self.root.iterdir(), *self.folder.glob(".*")}
        return {path.name for path in there - {self.folder}}


def die_at(step: int, root: Path, function, *args) -> None:
    """Calls a function and dies before its step of that number.

    A step opens a file below `root` to write it, changes a name, or waits for the disk.
    After each wait for a file comes a step in which the file has lost its end: it was
    not on the disk yet, as after a power failure.
    """
    steps, flush = itertools.count(), os.fsync

    def take(path, size=None):
        if str(path).startswith(str(root)) and next(steps) == step:
            if size is not None:
                os.truncate(path, size)
            os.kill(os.getpid(), signal.SIGKILL)

    def torn_flush(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        take(path)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            take(path, os.fstat(descriptor).st_size // 2)
        flush(descriptor)

    def hook(event, arguments):
        if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            take(arguments[0])
        if event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir"):
            path, folder = arguments[0], arguments[-1]  # of a folder that is open
            if folder != -1:
                path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
            take(path)

    os.fsync = torn_flush
    sys.addaudithook(hook)
    function(*args)
