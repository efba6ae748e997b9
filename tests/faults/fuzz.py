"""Any bytes and names: a right result or one sentence, and nothing else.

A target is a row of `TARGETS` in a module beside this one: what hypothesis makes, and a
function that reads it and fails where the result is wrong. None needs TensorFlow.
"""

import collections
import resource
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import hypothesis

from keras_vae.errors import KerasVAEError
from tests.faults import bundle_targets, image_targets, run_targets
from tests.faults.commands import LONGEST
from tests.faults.inputs import GROWTH
from tests.faults.tally import Tally
from tests.faults.targets import Target

CASES = 20_000  # in the full set, of all targets together
TARGETS = (*image_targets.TARGETS, *run_targets.TARGETS, *bundle_targets.TARGETS)


def outcome_of(target: Target, case: Any, folder: Path) -> tuple[bool, str | None]:
    """Whether a case was refused; and what is wrong with that, if anything is."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused, failure = False, None
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            target.read(case, folder)
    except KerasVAEError as error:
        refused = True
        text = str(error).replace(str(folder), "")
        if "\n" in text or not 10 < len(text) <= LONGEST:
            failure = f"not one short sentence: {error}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        failure = f"{type(error).__name__}: {error}"
    if warned:
        failure = f"warned: {warned[0].message}"
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory)
    if grown > GROWTH:
        failure = f"took {grown / 2**20:.0f} MB"
    return refused, failure and f"{case!r:.500}: {failure:.500}"


def tried(target: Target, cases: int, seed: int | None = None) -> Tally:
    """Tries a target; without a seed always with the same cases."""
    tally = Tally(target.what, "one sentence, or the right result")

    @hypothesis.settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=seed is None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(target.cases)
    def one(case):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        refused, failure = outcome_of(target, case, folder)
        outcomes[refused] += 1
        tally.count(failure)

    outcomes = collections.Counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "a")
        (one if seed is None else hypothesis.seed(seed)(one))()
    tally.note = f"{outcomes[True]:,} refused"
    return tally


def full(seed: int):
    for target in TARGETS:
        yield tried(target, -(-CASES // len(TARGETS)), seed)
