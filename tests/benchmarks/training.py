"""`python -m tests.benchmarks.training`: seconds an epoch, ours and everybody else's.

Every contender trains the classic 784-400-20 VAE, in float32 where it does not say
otherwise, on the same images, in a process of its own, one epoch in turn. To add one: a
function like those in `peers`, and a row in `CONTENDERS`.
"""

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import Any

from keras_vae.cli import command, start_tensorflow
from keras_vae.data import sources
from keras_vae.errors import UsageError, unknown
from tests.benchmarks import peers, products
from tests.benchmarks.interleave import (
    Contender,
    ContenderError,
    paired_ratio,
    print_table,
    spread,
    summary,
    write_report,
)

WARM_UP = 2  # epochs: one to compile, one because minutes may have gone by since then
CHECKED_EPOCH = 3  # every contender's mean loss there must be near ours


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Seconds an epoch of the classic VAE, ours and everybody else's, interleaved."""

    images: str = "digits"
    """A data set, as for keras_vae.train; all its training images are used."""
    rounds: int = 5
    """Epochs measured, after two that are not."""
    batch_size: int = 128
    """Images in an optimizer step."""
    contenders: tuple[str, ...] = ()
    """Who takes part beside ours; by default everybody."""
    output: Path | None = None
    """A JSON file to write."""


def ours(images, batch_size, done, precision="float32", devices=1, steps: Any = "auto"):
    """This package as it comes: `fit` on the uint8 array, with all its metrics."""
    start_tensorflow(devices=False)
    import keras

    from keras_vae.config import TrainConfig
    from keras_vae.runs.build import build_vae
    from keras_vae.training.devices import chosen_strategy

    strategy = chosen_strategy(devices, timeout=60)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        config = TrainConfig(network="mlp", likelihood="bernoulli", precision=precision)
        vae = build_vae(config, images.shape[1:], num_images=len(images))
        adam = keras.optimizers.Adam(peers.LEARNING_RATE)
        vae.compile(adam, steps_per_execution=steps)
    done()
    vae.fit(
        images,
        batch_size=batch_size,
        epochs=10**9,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: done(float(logs["loss"]))
            ),
        ],
    )


def ours_bfloat16(images, batch_size, done):
    """This package with `--precision bfloat16`."""
    ours(images, batch_size, done, precision="bfloat16")


def benchmark(config: TrainingConfig) -> int:
    """Runs and prints the benchmark.

    Returns:
        The exit status: 1 if somebody's loss is not near ours.
    """
    if config.rounds < 1 or config.batch_size < 1:
        raise UsageError("--rounds and --batch-size must be at least 1.")
    for name in config.contenders:
        if name not in CONTENDERS:
            raise unknown("contender", name, CONTENDERS)
    source = sources.load(config.images, validation_images=0)
    images = source.train.images
    print(f"{source.provenance} Batch size {config.batch_size}.", flush=True)

    chosen = dict.fromkeys(["ours", *(config.contenders or CONTENDERS)])
    pieces, starts, errors = take_turns(
        {name: CONTENDERS[name] for name in chosen},
        (images, config.batch_size),
        config.rounds,
    )
    if "ours" not in pieces:
        print(f"ours: {errors['ours']}", file=sys.stderr)
        return 1
    # few steps leave the loss to chance
    steps = CHECKED_EPOCH * len(images) / config.batch_size
    tolerance = 0.03 if steps > 1000 else 0.06
    results = {
        name: _result(starts[name], pieces[name], pieces["ours"], tolerance)
        for name in pieces
    }
    _print(results, errors)
    floor = min(
        (name for name in results if name.startswith("matmul")),
        key=lambda name: results[name]["seconds"]["median"],
        default=None,
    )
    if floor:
        print(f"The fastest of the bare matrix products is {floor}.")
    write_report(
        config.output,
        config,
        data=source.provenance,
        num_images=len(images),
        contenders=results,
        not_measured=errors,
        fastest_products=floor,
    )
    return int(any(result["trains"] is False for result in results.values()))


def take_turns(functions, arguments, rounds):
    """Starts all, then has them work in turn; what they did, and who could not."""
    contenders, pieces, starts, errors = {}, {}, {}, {}

    def work(name):
        try:
            pieces[name].append(contenders[name].work())
        except ContenderError as error:
            errors[name] = str(error)
            del contenders[name], pieces[name]

    for name, function in functions.items():
        try:
            contenders[name] = Contender(function, *arguments)
        except ContenderError as error:
            errors[name] = str(error)
            continue
        starts[name] = contenders[name].start_seconds
        pieces[name] = []
        work(name)
    for index in range(WARM_UP - 1 + rounds):
        # to and fro, so that nobody always follows the same one
        for name in list(contenders)[:: 1 if index % 2 == 0 else -1]:
            work(name)
    for contender in contenders.values():
        contender.close()
    return pieces, starts, errors


def _result(start_seconds, pieces, our_pieces, tolerance):
    seconds = [piece.seconds for piece in pieces[WARM_UP:]]
    our_seconds = [piece.seconds for piece in our_pieces[WARM_UP:]]
    loss, our_loss = (p[CHECKED_EPOCH - 1].result for p in (pieces, our_pieces))
    return {
        "start_seconds": start_seconds,
        "first_epoch_seconds": pieces[0].seconds,
        "all_seconds": seconds,
        "seconds": summary(seconds),
        "ours_over_this": paired_ratio(our_seconds, seconds),
        "losses": [piece.result for piece in pieces],
        "trains": loss and abs(loss / our_loss - 1) <= tolerance,
        "peak_bytes": pieces[-1].peak_bytes,
    }


def _print(results, errors):
    rows = [
        (
            "contender",
            "seconds an epoch (min-max)",
            "ours / this",
            "start",
            "compile",
            f"loss at epoch {CHECKED_EPOCH}",
            "peak MB",
        )
    ]
    for name, result in results.items():
        loss = result["losses"][CHECKED_EPOCH - 1]
        compiling = result["first_epoch_seconds"] - result["seconds"]["median"]
        rows.append(
            (
                name,
                spread(result["seconds"]),
                spread(result["ours_over_this"]),
                f"{result['start_seconds']:.1f}",
                f"{max(0.0, compiling):.1f}",
                "-"
                if loss is None
                else f"{loss:.2f}" + ("" if result["trains"] else " NOT NEAR OURS"),
                f"{result['peak_bytes'] / 1e6:.0f}",
            )
        )
    print_table(rows)
    for name, error in errors.items():
        print(f"{name}: {error}", flush=True)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(
        benchmark, TrainingConfig, argv, prog="python -m tests.benchmarks.training"
    )


# name: function of (images, batch_size, done)
CONTENDERS = {
    "ours": ours,
    "ours_bfloat16": ours_bfloat16,
    "keras": peers.stock_keras,
    "torch": peers.textbook_torch,
    "torch_tuned": peers.tuned_torch,
    "torch_compiled": peers.compiled_torch,
    "jax": peers.jax_scan,
    "matmul_numpy": products.numpy_products,
    "matmul_tensorflow": products.tensorflow_products,
    "matmul_torch": products.torch_products,
    "matmul_xla": products.xla_products,
}

if __name__ == "__main__":
    sys.exit(main())
