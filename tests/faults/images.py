"""Image files that are damaged, lie or are odd, alone among good ones.

A file that cannot be used is named, and can be left out: `--skip-broken`.
"""

import tempfile
from pathlib import Path

import numpy as np

from keras_vae.data import sources
from tests.faults import image_cases
from tests.faults.cases import Case
from tests.faults.commands import failure_of, run
from tests.faults.inputs import failure_in, read
from tests.faults.tally import Tally

# what is tried -> the cases
GROUPS = {
    "images that are too large, or bombs": image_cases.TOO_LARGE,
    "images that are cut short": image_cases.CUT,
    "what is no image, or none that may be read": image_cases.NO_IMAGE,
    "images that are odd and right": image_cases.ODD,
    "folders laid out in a way that is none": image_cases.LAYOUTS,
}


def without_broken(path: Path) -> np.ndarray:
    """All images of a folder but those that cannot be read."""
    source = sources.load(path, skip_broken=True)
    return np.concatenate([source.train.images, source.test.images])


def failures_in(case: Case, folder: Path) -> str | None:
    """What is wrong with how a folder was read, or how its other images were."""
    one, other = folder / "one", folder / "other"
    one.mkdir(), other.mkdir()
    failure = failure_in(case, read, one)
    if "cannot be used" in " ".join(case.words):
        left_out = case._replace(status=0, what=f"{case.what}, left out")
        failure = failure or failure_in(left_out, without_broken, other)
    return failure


def failure_of_command(case: Case, folder: Path) -> str | None:
    """The same, by a command that may take 8 GiB."""
    data = folder / "data"
    data.mkdir()
    path = case.make(data)
    options = ["--dataset", path, "--output", folder / "run"]
    outcome = run("keras_vae.train", *options, memory=8 * 2**30)
    failure = failure_of(outcome, case.status, *case.words)
    return failure and f"{case.what}: {failure}"


def full(seed: int):
    del seed  # every case is tried
    for what, cases in GROUPS.items():
        tally = Tally(what, "one sentence that names the file, or the right result")
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                tally.count(failures_in(case, Path(folder)))
        yield tally
    tally = Tally("the same, by command in 8 GiB", "one line, exit status 3")
    for cases in GROUPS.values():
        for case in cases:
            if case.status:
                with tempfile.TemporaryDirectory() as folder:
                    tally.count(failure_of_command(case, Path(folder)))
    yield tally
