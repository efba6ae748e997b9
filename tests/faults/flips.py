"""A bit that a bad disk has turned over is noticed, or changes nothing."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from export.verify import check_bundle
from keras_vae.errors import KerasVAEError
from keras_vae.generate import generate
from keras_vae.runs.trained import load_run
from keras_vae.training import state
from tests.faults import models
from tests.faults.tally import Tally

FLIPS = 1000


def full(seed: int):
    """A thousand bits of each target, one at a time."""
    for target in TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            yield flipped(target, Path(folder), FLIPS, np.random.default_rng(seed))


def flipped(target: str, folder: Path, number: int, rng) -> Tally:
    """Turns over random bits of a target's files, and reads it each time.

    Args:
        target: Of `TARGETS`.
        folder: An empty folder.
        number: How many bits.
        rng: NumPy's `Generator`.
    """
    make, read = TARGETS[target]
    files = make(folder)
    sizes = np.array([file.stat().st_size for file in files])
    expected = read(folder)
    tally, noticed = Tally(f"a flipped bit of {target}", "an error, or no change"), 0
    for _ in range(number):
        file = files[rng.choice(len(files), p=sizes / sizes.sum())]
        good = file.read_bytes()
        bad = bytearray(good)
        position, bit = rng.integers(len(bad)), rng.integers(8)
        bad[position] ^= 1 << bit
        file.write_bytes(bad)
        failure = None
        try:
            if read(folder) != expected:
                failure = "loads as something else"
        except KerasVAEError:
            noticed += 1
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        tally.count(failure and f"{file.name}, byte {position}, bit {bit}: {failure}")
        file.write_bytes(good)
    tally.note = f"{noticed:,} noticed"
    return tally


# === What is flipped, and how it is read ===


def _checkpoint(folder):
    vae, _ = models.model()
    arrays = state.arrays_of(state.by_name([*vae.variables, *vae.optimizer.variables]))
    facts = {"epoch": 3, "step": 0, "callbacks": {"History": {"history": [1.5] * 50}}}
    state.write(folder / "epoch-0003-step-000000.safetensors", arrays, facts)
    return [*folder.iterdir()]


def _state(folder):
    (path,) = folder.iterdir()
    arrays, facts = state.read(path)
    return repr([(k, a.tobytes()) for k, a in arrays.items()] + [facts]).encode()


def _run(folder):
    models.write_run(folder)
    return [folder / "model.keras", folder / "SHA256SUMS"]


def _run_of_before(folder):
    models.write_run(folder)
    (folder / "SHA256SUMS").unlink()
    return [folder / "model.keras"]


def _weights(folder):
    vae, _ = load_run(folder)
    return b"".join(weight.numpy().tobytes() for weight in vae.weights)


def _bundle(folder):
    models.write_bundle(folder, ["saved_model", "onnx"], conditional=True)
    return [path for path in folder.rglob("*") if path.is_file()]


def _decoder(folder):
    models.write_bundle(folder, conditional=True)
    return [folder / "decoder.onnx"]


def _images(folder):
    return generate(folder, 3, seed=1).tobytes()


def _checked(folder):
    return repr(check_bundle(folder).manifest).encode() + _images(folder)


# target: what makes it in a folder and gives its files, and what reads it
TARGETS: dict[str, tuple[Callable[[Path], list[Path]], Callable[[Path], bytes]]] = {
    "a checkpoint": (_checkpoint, _state),
    "model.keras": (_run, _weights),
    "model.keras without SHA256SUMS": (_run_of_before, _weights),
    "a bundle": (_bundle, _checked),
    "decoder.onnx": (_decoder, _images),
}
