"""`python -m tests.benchmarks.checkpoints`: what a checkpoint an epoch costs.

One training of the classic model saves after every second epoch, so that epochs with
and without a checkpoint take turns; each pair of neighbors gives one ratio.
"""

import dataclasses
import sys
import tempfile
import time
from pathlib import Path

from keras_vae.cli import command, start_tensorflow
from keras_vae.data import sources
from keras_vae.errors import UsageError
from tests.benchmarks.interleave import (
    paired_ratio,
    print_table,
    spread,
    summary,
    write_report,
)

WARM_UP = 4  # epochs: compilation, and the first pages of a file


@dataclasses.dataclass(frozen=True)
class CheckpointsConfig:
    """Seconds of an epoch with a checkpoint and of one without, by turns."""

    images: str = "digits"
    """A data set, as for keras_vae.train; all its training images are used."""
    rounds: int = 15
    """Pairs of epochs measured, after four that are not."""
    output: Path | None = None
    """A JSON file to write."""


def benchmark(config: CheckpointsConfig) -> int:
    """Runs and prints the benchmark; returns the exit status."""
    if config.rounds < 1:
        raise UsageError("--rounds must be at least 1.")
    images = sources.load(config.images, validation_images=0).train.images
    start_tensorflow()
    import keras

    from keras_vae.config import TrainConfig
    from keras_vae.runs.build import build_vae
    from keras_vae.training.checkpoints import Checkpoint

    begun = []
    clock = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: begun.append(time.perf_counter())
    )
    vae = build_vae(TrainConfig(), images.shape[1:], num_images=len(images))
    vae.compile("adam")
    with tempfile.TemporaryDirectory() as folder:
        vae.fit(
            images,
            batch_size=128,
            epochs=WARM_UP + 2 * config.rounds + 1,
            verbose=0,
            callbacks=[clock, Checkpoint(folder, every=(2, "epochs"))],
        )
    seconds = [b - a for a, b in zip(begun, begun[1:], strict=False)][WARM_UP:]
    without, with_it = seconds[::2], seconds[1::2]
    ratio = paired_ratio(with_it, without)
    print_table(
        [
            ["epochs", "seconds (min-max)", "with / without"],
            ["without a checkpoint", spread(summary(without)), ""],
            ["with one", spread(summary(with_it)), spread(ratio)],
        ]
    )
    write_report(config.output, config, without=without, with_one=with_it, ratio=ratio)
    return 0


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(
        benchmark,
        CheckpointsConfig,
        argv,
        prog="python -m tests.benchmarks.checkpoints",
    )


if __name__ == "__main__":
    sys.exit(main())
