"""`python -m tests.benchmarks.generation`: images per second, and the first image.

A trained decoder turns draws of the prior into images, in every way there is to run it,
each in a process of its own, in turn. The floor is the decoder's own matrix products.
To add a contender: a function, and a row in `CONTENDERS`.
"""

import dataclasses
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from keras_vae.cli import command, start_tensorflow
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

BATCH = 1024  # images in one call of an exported decoder
ENOUGH_SECONDS = 0.2  # a measurement repeats what is shorter


@dataclasses.dataclass(frozen=True)
class GenerationConfig:
    """Images per second of a trained decoder, and seconds to its first image."""

    run: Path | None = None
    """A run folder; by default the classic model, trained for an epoch on digits."""
    num_images: tuple[int, ...] = (1, 1024, 100_000)
    """Images asked for at once."""
    rounds: int = 5
    """Measurements of each, and starts of each."""
    output: Path | None = None
    """A JSON file to write."""


def vae_generate(run, done):
    """This package in Python, with its seeded draws."""
    start_tensorflow()
    from keras_vae.runs.trained import load_run

    vae, _ = load_run(run)
    _serve(vae.generate, done)


def keras_predict(run, done):
    """Keras's own way to run a model on many inputs."""
    start_tensorflow()
    from export.decoder import decoder_mean
    from keras_vae.runs.trained import load_run

    model = decoder_mean(load_run(run)[0])
    draw = _prior(run)
    _serve(lambda number: model.predict(draw(number), BATCH, verbose=0), done)


def saved_model(run, done):
    """The exported SavedModel in TensorFlow."""
    start_tensorflow()
    from export.runtimes.python_tensorflow import load_decoder

    _serve(_in_slices(run, load_decoder(run / "export" / "saved_model")), done)


def onnx_runtime(run, done):
    """The exported ONNX file in ONNX Runtime."""
    from export.runtimes.python_onnxruntime import load_decoder

    _serve(_in_slices(run, load_decoder(run / "export" / "decoder.onnx")), done)


def numpy_products(run, done):
    """The decoder's matrix products in NumPy."""
    weights = _weights(run)

    def decode(z):
        for w in weights:
            z = z @ w
        return z

    _serve(_in_slices(run, decode), done)


def tensorflow_products(run, done):
    """The decoder's matrix products in TensorFlow's graph mode."""
    start_tensorflow()
    import tensorflow as tf

    weights = [tf.constant(w) for w in _weights(run)]

    @tf.function(reduce_retracing=True)
    def decode(z):
        for w in weights:
            z = z @ w
        return z

    _serve(_in_slices(run, lambda z: decode(z).numpy()), done)


def _serve(generate, done):
    """Makes the first image; then as many as asked for, as often as asked for."""
    if len(generate(1)) != 1:
        raise ValueError("one image was asked for")
    number, repeats = done()
    while True:
        for _ in range(repeats):
            generate(number)
        number, repeats = done()


def _in_slices(run, decode):
    draw = _prior(run)

    def generate(number):
        z = draw(number)
        slices = [decode(z[i : i + BATCH]) for i in range(0, number, BATCH)]
        return np.concatenate(slices)

    return generate


def _prior(run):
    random = np.random.default_rng(0)
    latent_dim = _widths(run)[0]
    return lambda number: random.standard_normal((number, latent_dim), np.float32)


def _weights(run):
    """Matrices of the decoder's shapes."""
    random, widths = np.random.default_rng(0), _widths(run)
    shapes = zip(widths[:-1], widths[1:], strict=True)
    return [0.1 * random.standard_normal(shape, np.float32) for shape in shapes]


def _widths(run):
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    pixels = math.prod(config["data"]["image_shape"])
    return [config["latent_dim"], *reversed(config["hidden"]), pixels]


def benchmark(config: GenerationConfig) -> None:
    """Runs and prints the benchmark."""
    if config.rounds < 1 or min(config.num_images, default=0) < 1:
        raise UsageError("--rounds and --num-images must be at least 1.")
    with tempfile.TemporaryDirectory() as folder:
        run = config.run or train_classic(Path(folder) / "run")
        starts, contenders, errors = _start(run, config.rounds)
        print(f"Decoder {'-'.join(map(str, _widths(run)))}, slices of {BATCH} images.")
        seconds = {}
        for number in config.num_images:
            seconds[number] = _seconds(contenders, number, config.rounds)
        for contender in contenders.values():
            contender.close()
    _print(starts, seconds, errors)
    write_report(
        config.output,
        config,
        seconds_to_first_image={name: summary(x) for name, x in starts.items()},
        images_per_second={
            number: {name: summary(number / np.array(x)) for name, x in of.items()}
            for number, of in seconds.items()
        },
        not_measured=errors,
    )


def train_classic(run: Path) -> Path:
    """The classic model, trained for an epoch on digits."""
    subprocess.run(
        [sys.executable, "-m", "keras_vae.train", "--dataset", "digits"]
        + ["--epochs", "1", "--output", run],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return run


def _start(run, rounds):
    """Starts everybody `rounds` times, in turn; keeps the last ones."""
    starts, contenders, errors = {}, {}, {}
    for _ in range(rounds):
        for name, function in CONTENDERS.items():
            if name in errors:
                continue
            if name in contenders:
                contenders[name].close()
            try:
                contenders[name] = Contender(function, run)
            except ContenderError as error:
                errors[name] = str(error)
                continue
            starts.setdefault(name, []).append(contenders[name].start_seconds)
    return starts, contenders, errors


def _seconds(contenders, number, rounds):
    """Seconds for `number` images: a list, one a round, for every contender."""
    repeats = {}
    for name, contender in contenders.items():
        contender.work((number, 1))  # compiles what depends on the size
        once = contender.work((number, 1)).seconds
        repeats[name] = math.ceil(ENOUGH_SECONDS / once)
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            piece = contender.work((number, repeats[name]))
            seconds[name].append(piece.seconds / repeats[name])
    return seconds


def _print(starts, seconds, errors):
    head = ["contender", "seconds to the first image"]
    for number in seconds:
        head += [f"images/s, {number:,} at once", "time / products"]
    rows = [head]
    for name in starts:
        row = [name, spread(summary(starts[name]), 2)]
        for number, of in seconds.items():
            floor = min(
                (of[other] for other in of if other.startswith("matmul")), key=np.median
            )
            row.append(spread(summary(number / np.array(of[name])), 0))
            row.append(spread(paired_ratio(of[name], floor), 2))
        rows.append(row)
    print_table(rows)
    for name, error in errors.items():
        print(f"{name}: {error}")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(
        benchmark, GenerationConfig, argv, prog="python -m tests.benchmarks.generation"
    )


# name: function of (run, done)
CONTENDERS = {
    "vae.generate": vae_generate,
    "keras predict": keras_predict,
    "saved_model": saved_model,
    "onnxruntime": onnx_runtime,
    "matmul_numpy": numpy_products,
    "matmul_tensorflow": tensorflow_products,
}

if __name__ == "__main__":
    sys.exit(main())
