"""`python -m tests.benchmarks.levels`: what two levels cost, beside one.

Both are the recipes of their names, in batches of 250 and a process each, one epoch by
turns. What is compared is the time of an epoch for each weight: two levels have more.
"""

import dataclasses
import functools
import sys

import numpy as np

from keras_vae.cli import command, start_tensorflow
from keras_vae.config import TrainConfig
from keras_vae.data import sources
from keras_vae.defaults import chosen
from keras_vae.recipes import recipe
from tests.benchmarks.interleave import paired_ratio, print_table, spread, summary
from tests.benchmarks.training import take_turns

NAMES = ("gated_vae", "two_levels")
BATCH_SIZE = 250


@dataclasses.dataclass(frozen=True)
class LevelsConfig:
    """Seconds an epoch and weight of two levels and of one, interleaved."""

    images: str = "digits"
    """A data set, as for keras_vae.train; all its training images are used."""
    rounds: int = 7
    """Epochs measured, after two that are not."""


def ours(name, images, done):
    """The training of a recipe; its first result is the number of its weights."""
    start_tensorflow()
    import keras

    from keras_vae.runs.build import build_optimizer, build_vae

    config = TrainConfig(**recipe(name).options | {"batch_size": BATCH_SIZE})
    config = chosen(config, images.shape[1:], len(images))
    vae = build_vae(config, images.shape[1:], num_images=len(images))
    vae.compile(build_optimizer(config, len(images)), steps_per_execution="auto")
    weights = sum(np.prod(weight.shape) for weight in vae.trainable_weights)
    done()
    vae.fit(
        images,
        batch_size=config.batch_of(len(images)),
        epochs=10**9,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: done(int(weights))
            )
        ],
    )


def benchmark(config: LevelsConfig) -> None:
    """Runs and prints the benchmark."""
    source = sources.load(config.images, validation_images=0)
    functions = {name: functools.partial(ours, name) for name in NAMES}
    pieces, _, errors = take_turns(functions, (source.train.images,), config.rounds)
    for name, error in errors.items():
        sys.exit(f"{name}: {error}")
    seconds = {
        name: [piece.seconds for piece in pieces[name][-config.rounds :]]
        for name in NAMES
    }
    weights = {name: pieces[name][-1].result for name in NAMES}
    one, two = (np.divide(seconds[name], weights[name] / 1e9) for name in NAMES)
    rows = [
        ("recipe", "weights", "seconds an epoch", "nanoseconds an epoch and weight")
    ]
    for name, times in zip(NAMES, (one, two), strict=True):
        of_epoch = spread(summary(seconds[name]), 2)
        rows.append((name, f"{weights[name]:,}", of_epoch, spread(summary(times), 0)))
    print_table(rows)
    print(f"Two levels / one, for each weight: {spread(paired_ratio(two, one), 2)}.")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    prog = "python -m tests.benchmarks.levels"
    return command(benchmark, LevelsConfig, argv, prog=prog)


if __name__ == "__main__":
    sys.exit(main())
