"""Files of a stranger: refused in one line; what they are after is never touched."""

import tempfile
from pathlib import Path

from export.__main__ import main as export
from tests.faults import hostile_bundles as bundles
from tests.faults import hostile_models, models
from tests.faults.commands import call, failure_of
from tests.faults.tally import Tally
from tests.faults.traps import Trap


def full(seed: int):
    """Every file, every manifest, every name."""
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            yield from family(Path(folder))


def runs(folder: Path):
    """`model.keras` of a stranger, in a run whose config.json is right."""
    run, trap = folder / "run", Trap(folder)
    models.write_run(run)
    path = run / "model.keras"
    good = path.read_bytes()
    weights = hostile_models.weights_of(path)
    (run / "SHA256SUMS").unlink()  # a stranger's would agree

    def failure(what, status):
        wrong, outcome = trap.sprung(call, export, run, "--format", "keras")
        if status:
            wrong = wrong or failure_of(outcome, status, str(path))
        elif outcome.status:
            wrong = wrong or outcome.err
        path.write_bytes(good)
        return wrong and f"{what.__name__}: {wrong}"

    tally = Tally("model.keras of a stranger", bundles.MUST)
    for write in hostile_models.FILES:
        write(path, weights)
        tally.count(failure(write, 4))
    for change in hostile_models.ARRAYS:
        hostile_models.write(path, hostile_models.changed(weights, change, trap))
        tally.count(failure(change, 4))
    for make in hostile_models.CONFIGS:
        hostile_models.write(path, None, make(trap))
        tally.count(failure(make, 4))
    yield tally
    tally = Tally("model.keras with code beside its arrays", "they load, it does not")
    for make in hostile_models.CONFIGS:
        hostile_models.write(path, weights, make(trap))
        tally.count(failure(make, 0))
    yield tally


FAMILIES = (runs, bundles.graphs, bundles.manifests, bundles.names)
