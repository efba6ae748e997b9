"""Runs of the commands: repeated, diverging, long; the numbers that they leave."""

import csv
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_vae.runs.trained import load_run
from tests.faults import commands
from tests.faults.tally import Tally

OPTIONS = "--hidden 12 --latent-dim 2 --batch-size 16 --learning-rate 0.01"
EPOCHS, SETTLED = 200, 20  # of a long run; from when on memory must not grow
GROWTH = 0.05


def squares(folder: Path, number=200) -> Path:
    """A data set of bright squares."""
    rng = np.random.default_rng(0)
    images = np.zeros((number, 8, 8), np.uint8)
    places = rng.integers(0, 5, (number, 2))
    for image, (row, column) in zip(images, places, strict=True):
        image[row : row + 4, column : column + 4] = 255
    np.savez(folder / "squares.npz", images=images)
    return folder / "squares.npz"


def options(data, run, *more) -> list[str]:
    """Arguments of a small training."""
    return [*f"--dataset {data} --output {run} {OPTIONS}".split(), *more]


def repeated(folder: Path, times=3) -> Iterator[Tally]:
    """The same command several times, with one thread and with two."""
    tally = Tally("the same command three times", "the same weights and history")
    data = squares(folder)
    for threads in (1, 2):
        names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        expected = None
        for number in range(times):
            run = folder / f"run-{threads}-{number}"
            arguments = options(data, run, "--epochs", "3", "--export", "none")
            done = commands.run(
                "keras_vae.train", *arguments, env=dict.fromkeys(names, str(threads))
            )
            found = _digest(run) if done.status == 0 else done.err
            expected = expected or found
            same = done.status == 0 and found == expected
            tally.count(None if same else f"{threads} threads: {found}")
    yield tally


def _digest(run):
    """Of the weights and of the metrics of each epoch."""
    digest = hashlib.sha256()
    for weight in load_run(run)[0].get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    with open(run / "history.csv", newline="") as file:
        for row in csv.DictReader(file):
            del row["seconds"]
            digest.update(repr(row).encode())
    return digest.hexdigest()


def diverged(folder: Path) -> Iterator[Tally]:
    """A training that diverges, and every command on weights that are NaN."""
    tally = Tally("commands on a loss or weights that are NaN", "one line, 6 or 4")
    data, run, wild = squares(folder), folder / "run", folder / "wild"
    more = ("--epochs", "2", "--export", "none")
    commands.run("keras_vae.train", *options(data, run, *more))
    before = commands.digests(run)
    rate = ("--learning-rate", "1e20")
    done = commands.run("keras_vae.train", *options(data, wild, *more), *rate)
    tally.count(commands.failure_of(done, 6, "The loss became", "step", "epoch 1"))
    tally.count(f"{wild} is left" if wild.exists() else None)
    done = commands.run(
        "keras_vae.train", *options(data, run, *more, "--overwrite"), *rate
    )
    tally.count(commands.failure_of(done, 6, "The loss became"))
    changed = commands.digests(run) != before
    tally.count("the run that was to be replaced has changed" if changed else None)
    vae, _ = load_run(run)
    vae.trainable_weights[0].assign(vae.trainable_weights[0] * np.nan)
    vae.save(run / "model.keras")
    before = commands.digests(folder)
    output = ("--output", folder / "picture.png")
    for module, *arguments in (
        ("keras_vae.evaluate", run, "--num-samples", 3),
        ("keras_vae.explore", run, "traverse", *output),
        ("keras_vae.explore", run, "plots", *output),
        ("export", run, "--format", "onnx"),
    ):
        done = commands.run(module, *arguments)
        tally.count(commands.failure_of(done, 4, "model.keras"))
    changed = commands.digests(folder) != before
    tally.count("something was written of NaN" if changed else None)
    yield tally


def long_run(folder: Path, epochs=EPOCHS) -> Iterator[Tally]:
    """Many tiny epochs with their pictures and weights."""
    tally = Tally(f"{epochs} tiny epochs with pictures", "memory grows by less than 5%")
    run = folder / "long"
    arguments = options(
        squares(folder), run, "--epochs", str(epochs), "--export", "none"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_vae.train", *arguments],
        env={**os.environ, "PYTHONPATH": str(commands.ROOT)},
        stdout=subprocess.DEVNULL,
    )
    memory = {}  # bytes by epoch
    while process.poll() is None:
        epoch = _epochs(run)
        pages = Path(f"/proc/{process.pid}/statm").read_text().split()
        if epoch and len(pages) > 1:  # it has none any more when it ends
            memory[epoch] = int(pages[1]) * os.sysconf("SC_PAGE_SIZE")
        time.sleep(0.05)
    settled = statistics.median(
        size for epoch, size in memory.items() if SETTLED <= epoch < SETTLED + 10
    )
    last = statistics.median(
        size for epoch, size in memory.items() if epoch > epochs - 10
    )
    growth = last / settled - 1
    tally.note = f"{growth:+.1%} of {settled / 2**20:.0f} MiB"
    failed = process.returncode or growth >= GROWTH
    tally.count(f"exit {process.returncode}, {tally.note}" if failed else None)
    yield tally


def _epochs(run):
    """Rows of the history so far."""
    try:
        return len((run / "history.csv").read_text().splitlines()) - 1
    except FileNotFoundError:
        return 0


def full(seed) -> Iterator[Tally]:
    for family in (repeated, diverged, long_run):
        with tempfile.TemporaryDirectory() as folder:
            yield from family(Path(folder))
