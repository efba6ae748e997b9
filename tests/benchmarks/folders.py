"""`python -m tests.benchmarks.folders`: folders of images, in memory and streamed.

Makes folders of 64x64 color PNGs. For each: seconds to load it, images a second that
the pipeline gives by itself, images a second that a training takes, and the training's
peak memory; from memory, from the files and from the cache.
"""

import csv
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from keras_vae.cli import command, start_tensorflow
from keras_vae.data import sources
from tests.benchmarks.interleave import print_table, write_report

BATCH, STEPS = 128, 8  # of a slice
SECONDS = 4  # that the pipeline runs by itself
TRAINING = (  # beside --epochs and where the images come from
    f"--batch-size {BATCH} --fused-steps {STEPS} --validation-images 500 --export none"
).split()


@dataclasses.dataclass(frozen=True)
class FoldersConfig:
    """Folders of images, in memory and streamed."""

    num_images: tuple[int, ...] = (5_000, 20_000)
    """Images in a folder."""
    size: int = 64
    """Their height and width."""
    options: str = "--network mlp --hidden 64"
    """Of the model that is trained."""
    epochs: int = 1
    """Of the training; the last one is timed."""
    output: Path | None = None
    """A JSON file to write."""


def make(folder: Path, number: int, size: int) -> None:
    """Writes colored waves with noise, in four classes."""
    rng = np.random.default_rng(0)
    down, right = np.mgrid[:size, :size] / size
    for name in "abcd":
        (folder / name).mkdir(parents=True)
    for index in range(number):
        angle, waves, phase = rng.uniform(0, 6, (3, 3))
        place = right[..., None] * np.cos(angle) + down[..., None] * np.sin(angle)
        image = 128 + 90 * np.sin(6 * waves * place + phase)
        image += rng.normal(0, 6, image.shape)
        path = folder / "abcd"[index % 4] / f"{index:06d}.png"
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)


def pipeline(folder: Path, options: dict) -> tuple[float, float]:
    """Seconds to load a folder, and images a second that its batches come with."""
    start = time.perf_counter()
    source = sources.load(folder, **options)
    loading = time.perf_counter() - start
    slices = iter(source.train.batches(BATCH, seed=0, slice_steps=STEPS))
    next(slices)
    start, images = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < SECONDS:
        number, _ = next(slices)
        images += BATCH * int(number)
    return loading, images / seconds


def training(folder: Path, config: FoldersConfig, options: dict) -> tuple[float, float]:
    """Images a second in the steps of a training, and its peak memory in bytes."""
    with tempfile.TemporaryDirectory() as place:
        run = Path(place, "run")
        flags = [
            part
            for name, value in options.items()
            for part in (f"--{name.replace('_', '-')}", str(value))
        ]
        argv = [*TRAINING, *config.options.split(), "--epochs", str(config.epochs)]
        argv += ["--dataset", str(folder), "--output", str(run), *flags]
        process = subprocess.Popen(
            [sys.executable, "-m", "keras_vae.train", *argv], stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(process.returncode)
        with open(run / "history.csv", newline="") as file:
            *_, last = csv.DictReader(file)
    images = sum(1 for _ in folder.rglob("*.png")) * 0.9 - 500
    return images / float(last["seconds"]), 1024 * usage.ru_maxrss


def benchmark(config: FoldersConfig) -> None:
    """Runs and prints the benchmark."""
    start_tensorflow()
    results = []
    for number in config.num_images:
        with tempfile.TemporaryDirectory() as place:
            folder, cache = Path(place, "images"), Path(place, "cache")
            make(folder, number, config.size)
            for kept, options in (
                ("memory", {}),
                ("files", {"memory_budget": 0}),
                ("cache, made", {"memory_budget": 0, "cache": cache}),
                ("cache", {"memory_budget": 0, "cache": cache}),
            ):
                loading, given = pipeline(folder, options)
                taken, peak = training(folder, config, options)
                results.append((number, kept, loading, given, taken, peak))
                print(results[-1], flush=True)
    columns = ("images", "from", "s to load", "given/s", "trained/s", "peak MB")
    rows = [
        (f"{n:,}", kept, f"{load:.1f}", f"{a:,.0f}", f"{b:,.0f}", f"{peak / 1e6:.0f}")
        for n, kept, load, a, b, peak in results
    ]
    print_table([columns, *rows])
    write_report(config.output, config, data="waves", results=results)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(
        benchmark, FoldersConfig, argv, prog="python -m tests.benchmarks.folders"
    )


if __name__ == "__main__":
    sys.exit(main())
