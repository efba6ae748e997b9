"""Files and paths that are not what a training needs: one sentence, the right status.

A case makes its file, and says with which status the command ends and what the sentence
must name; or which images are read, for what is odd and yet right.
"""

import contextlib
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_vae.config import TrainConfig
from keras_vae.data import array_files, sources
from keras_vae.errors import KerasVAEError
from keras_vae.files import check_file, write_text
from keras_vae.runs.folder import RunFolder
from tests.faults import array_cases, path_cases, pixel_cases
from tests.faults.array_bytes import IMAGES, npy, npz
from tests.faults.cases import Case, arrays, file, zipped
from tests.faults.commands import LONGEST, failure_of, run
from tests.faults.memory import peak, reset_peak
from tests.faults.tally import Tally

SECONDS = 10  # for any of them
GROWTH = 2 * array_files.FREE_BYTES  # of the process, for what is small on disk


def read(name) -> None | np.ndarray:
    """All images of a data set."""
    source = sources.load(name)
    splits = (source.train, source.validation, source.test)
    return np.concatenate([split.images for split in splits if split])


def begin(path: Path) -> None:
    """Begins a run that fails at once, which leaves nothing."""
    facts = {"name": "a", "image_shape": [6, 5, 1], "num_images": 20}
    facts |= {"num_classes": None, "class_names": None}
    with contextlib.suppress(ZeroDivisionError):
        with RunFolder(path).written(TrainConfig(), facts) as new:
            assert new.config.is_file() and new.path.samefile(path)
            raise ZeroDivisionError


def draw(path: Path) -> None:
    """Writes a file as the commands do that draw pictures."""
    check_file(path)
    write_text(path, "a picture")
    assert path.read_text() == "a picture"
    path.unlink()


def failure_in(case: Case, use: Callable, folder: Path) -> str | None:
    """What is wrong with how a case ended, if anything is."""
    path = case.make(folder)
    before = state(folder)
    reset_peak()
    memory, start = peak(), time.perf_counter()
    error, found = None, None
    try:
        found = use(path)
    except KerasVAEError as raised:
        error = raised
    except Exception as raised:
        return f"{case.what}: {type(raised).__name__}: {raised}"
    seconds, memory = time.perf_counter() - start, peak() - memory
    if case.status or error:
        failure = wrong_sentence(error, case, folder)
    else:
        failure = None if found is None or same(found, case.images) else "other images"
    if seconds > SECONDS or memory > GROWTH:
        failure = f"took {seconds:.0f} s and {memory / 2**20:.0f} MB"
    if (after := state(folder)) != before:
        failure = f"left {after ^ before}"
    return failure and f"{case.what}: {failure}"


def wrong_sentence(error, case, folder) -> str | None:
    if error is None:
        return "no error"
    text, status = str(error), error.exit_code
    if status != case.status:
        return f"exit status {status} instead of {case.status}: {text}"
    if "\n" in text or len(text) > LONGEST + 3 * len(str(folder)):
        return f"not one short sentence: {text}"
    missing = [word for word in case.words if word not in text]
    return f"{missing} is not named in: {text}" if missing else None


def state(folder: Path) -> set:
    """The files below a folder, with their sizes and times; links are not followed."""
    found = [(path, path.lstat()) for path in folder.rglob("*")]
    files = [(path, each) for path, each in found if stat.S_ISREG(each.st_mode)]
    return {(path, each.st_size, each.st_mtime_ns) for path, each in files}


def same(found: np.ndarray, images: np.ndarray) -> bool:
    """Whether images are the same ones, in any order."""

    def rows(array):
        return sorted(image.tobytes() for image in array.astype(np.uint8))

    return rows(found) == rows(images)


# what is tried -> what uses it, and the cases
GROUPS = {
    "IDX files that are damaged, lie or are odd": (read, array_cases.IDX),
    "the same in gzip; bombs": (read, array_cases.GZIP),
    "`.npy` files that are damaged, lie or are odd": (read, array_cases.NPY),
    "`.npz` files, the same; bombs": (read, array_cases.NPZ),
    "pixels, labels and shapes out of range": (read, pixel_cases.VALUES),
    "data sets' names and paths": (read, path_cases.NAMES),
    "run folders' paths": (begin, path_cases.OUTPUTS),
    "pictures' paths": (draw, path_cases.PICTURES),
}


# === The command line ===


class Command(NamedTuple):
    """A command that fails.

    Args:
        argv: The module and its arguments, in the folder of the data.
        status: The exit status.
        words: What the error must name.
        make: Makes the data, in an empty folder.
    """

    argv: str
    status: int
    words: tuple[str, ...]
    make: Callable[[Path], object] = file("data.npz", npz({"images.npy": npy()}))


TRAIN = "keras_vae.train --output run --dataset"
FAULTY = [
    Command(
        f"{TRAIN} data.npy",
        3,
        ("data.npy: is cut",),
        file("data.npy", npy()[:-1]),
    ),
    Command(
        f"{TRAIN} data.npz",
        3,
        ("data.npz: ", "limit"),
        zipped(npy(shape=(300, 1000, 1000))[:128], 300),
    ),
    Command(
        f"{TRAIN} data.npz",
        3,
        ("data.npz[images]: image 1 holds nan",),
        arrays(images=IMAGES[:3] / [[[1.0]], [[np.nan]], [[1.0]]]),
    ),
    Command(f"{TRAIN} data.npz", 3, ("a single image",), arrays(images=IMAGES[:1])),
    Command(f"{TRAIN} nothing.npz", 3, ("nothing.npz: no such file",)),
    Command(f"{TRAIN} fashion", 2, ("Unknown dataset 'fashion'",)),
    Command(f"{TRAIN} ./{300 * 'a'}", 2, ("is too long",)),
    Command("keras_vae.train --dataset data.npz --output data.npz", 5, ("not a",)),
    Command("keras_vae.train --dataset data.npz --output data.npz/a", 5, ("not a",)),
    Command("keras_vae.train --dataset data.npz --output /proc/a", 5, ("/proc/a",)),
    Command(f"keras_vae.train --output {300 * 'a'}", 2, ("is too long",)),
    Command("keras_vae.generate nothing", 4, ("nothing",)),
    Command(f"keras_vae.generate {300 * 'a'}", 2, ("is too long",)),
    Command("keras_vae.generate run --output a/a.png", 2, ("no folder a",)),
    Command("keras_vae.evaluate nothing", 4, ("nothing",)),
    Command(
        "keras_vae.explore nothing plots --output data.npz/a.png", 2, ("no folder",)
    ),
    Command("export nothing", 4, ("nothing",)),
    Command("export verify data.npz", 4, ("data.npz",)),
]


def failure_of_command(command: Command, folder: Path, run: Callable) -> str | None:
    """What is wrong with how a command ended, or with what it left behind."""
    command.make(folder)
    before = set(folder.rglob("*"))
    failure = failure_of(run(*command.argv.split()), command.status, *command.words)
    if left := set(folder.rglob("*")) ^ before:
        failure = f"left {left}"
    return failure and f"{command.argv[:80]}: {failure}"


def odd_and_right(folder: Path) -> str | None:
    """A training on fewer images than a batch, with names that cannot be printed."""
    name = "\udcff\u2603"
    file(f"{name}.npy", npy(IMAGES[:2]))(folder)
    options = "--hidden 8 --latent-dim 2 --epochs 1 --export none".split()
    options += ["--dataset", f"{name}.npy", "--output", name]
    outcome = run(
        "keras_vae.train", *options, cwd=folder, env={"PYTHONIOENCODING": "ascii"}
    )
    if outcome.status:
        return f"exit status {outcome.status}: {outcome.err[-500:]}"
    rows = (folder / name / "history.csv").read_text().splitlines()
    return None if len(rows) == 2 else f"{len(rows)} lines of history"


def full(seed: int):
    del seed  # every case is tried
    for what, (use, cases) in GROUPS.items():
        tally = Tally(what, "one sentence and its exit status, or the right result")
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                tally.count(failure_in(case, use, Path(folder)))
        yield tally
    tally = Tally("the same, by command", "one line, its exit status, nothing left")
    for command in FAULTY:
        with tempfile.TemporaryDirectory() as folder:

            def here(*argv, folder=folder):
                return run(*argv, cwd=folder, memory=8 * 2**30)

            tally.count(failure_of_command(command, Path(folder), here))
    yield tally
    tally = Tally("two images in names that cannot be printed", "a training")
    with tempfile.TemporaryDirectory() as folder:
        tally.count(odd_and_right(Path(folder)))
    yield tally
