"""`python -m tests.benchmarks.scaling`: how time grows with the work and the devices.

For every number of images and batch size the classic VAE is trained in a fresh process:
seconds an epoch, microseconds an image, and the process's peak memory. For every number
of devices by turns: GPUs where there are enough; else parts of the CPU stand for them,
which share its cores, so that they show what the division costs and no gain.
"""

import dataclasses
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np

from keras_vae.cli import command, start_tensorflow
from keras_vae.data import sources
from keras_vae.errors import UsageError
from tests.benchmarks.interleave import (
    Contender,
    ContenderError,
    paired_ratio,
    print_table,
    spread,
    summary,
    write_report,
)
from tests.benchmarks.training import WARM_UP, ours, take_turns


@dataclasses.dataclass(frozen=True)
class ScalingConfig:
    """Our epoch time and peak memory, by number of images and batch size."""

    images: str = "digits"
    """A data set, as for keras_vae.train; its images are repeated as needed."""
    num_images: tuple[int, ...] = (15_000, 60_000, 240_000)
    """Images in an epoch."""
    batch_sizes: tuple[int, ...] = (32, 128, 512, 2048)
    """Images in an optimizer step."""
    rounds: int = 3
    """Epochs measured in each process, after one that is not."""
    devices: tuple[int, ...] = (2, 4)
    """Devices to train on, beside one."""
    output: Path | None = None
    """A JSON file to write."""


def repeated(images, number, batch_size, done):
    """`ours` on `number` images."""
    # repeated here: the parent's memory would count in the peak of its children
    ours(np.resize(images, (number, *images.shape[1:])), batch_size, done)


def benchmark(config: ScalingConfig) -> None:
    """Runs and prints the benchmark."""
    if min(config.rounds, *config.num_images, *config.batch_sizes) < 1:
        raise UsageError("--rounds, --num-images and --batch-sizes must be at least 1.")
    source = sources.load(config.images, validation_images=0)
    print(source.provenance, flush=True)
    devices = _by_devices(source.train.images, config)
    sizes = [
        (number, size) for number in config.num_images for size in config.batch_sizes
    ]
    results = []
    for number, batch_size in sizes:
        try:
            results.append(_measure(source.train.images, number, batch_size, config))
        except ContenderError as error:
            print(f"{number} images in batches of {batch_size}: {error}", flush=True)
    print_table(
        [("images", "batch", "seconds an epoch", "microseconds an image", "peak MB")]
        + [
            (
                f"{result['num_images']:,}",
                str(result["batch_size"]),
                spread(result["seconds"]),
                spread(result["microseconds_an_image"], 1),
                f"{result['peak_bytes'] / 1e6:.0f}",
            )
            for result in results
        ]
    )
    write_report(
        config.output, config, data=source.provenance, devices=devices, results=results
    )


def _by_devices(images, config):
    """Epochs on one device, in slices and step by step, and on several, by turns."""
    batch_size = 128
    functions = {
        "1, steps in one program": ours,
        "1, a call for each step": partial(ours, steps=1),
        **{f"{number}": partial(ours, devices=number) for number in config.devices},
    }
    pieces, _, errors = take_turns(functions, (images, batch_size), config.rounds)
    seconds = {
        name: [piece.seconds for piece in done[WARM_UP:]]
        for name, done in pieces.items()
    }
    first = seconds["1, steps in one program"]
    rows = [("devices", "seconds an epoch", "this / first")]
    for name, own in seconds.items():
        rows.append((name, spread(summary(own)), spread(paired_ratio(own, first))))
    print(f"{len(images):,} images in batches of {batch_size}, {_devices()}:")
    print_table(rows)
    for name, error in errors.items():
        print(f"{name}: {error}", flush=True)
    return seconds


def _devices():
    start_tensorflow()
    import tensorflow as tf

    if gpus := tf.config.list_physical_devices("GPU"):
        return f"on {len(gpus)} GPUs"
    return f"on parts of one CPU with {os.cpu_count()} cores (simulated devices)"


def _measure(images, number, batch_size, config):
    contender = Contender(repeated, images, number, batch_size)
    contender.work()  # compiles
    pieces = [contender.work() for _ in range(config.rounds)]
    contender.close()
    seconds = np.array([piece.seconds for piece in pieces])
    return {
        "num_images": number,
        "batch_size": batch_size,
        "seconds": summary(seconds),
        "microseconds_an_image": summary(1e6 * seconds / number),
        "peak_bytes": pieces[-1].peak_bytes,
    }


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(
        benchmark, ScalingConfig, argv, prog="python -m tests.benchmarks.scaling"
    )


if __name__ == "__main__":
    sys.exit(main())
