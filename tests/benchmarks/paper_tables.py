"""`python -m tests.benchmarks.paper_tables`: log-likelihoods beside published ones.

A row is a run of `keras_vae.train` and `keras_vae.evaluate` on dynamically binarized
MNIST, by a recipe (`keras_vae/recipes.py`): the architecture is the paper's, batch
size, optimizer and schedule are ours. A row that is there already is not trained again,
so that the table can be made row by row. To add a row: a line in `ROWS`.
"""

import csv
import dataclasses
import json
import sys
from pathlib import Path

from keras_vae.cli import command
from keras_vae.errors import unknown
from keras_vae.evaluate import EvaluateConfig, evaluate
from keras_vae.train import main as train
from tests.benchmarks.interleave import print_table


@dataclasses.dataclass(frozen=True)
class TablesConfig:
    """Train and evaluate the models of published tables."""

    images: str = "mnist"
    """Full MNIST, as for keras_vae.train --dataset."""
    rows: tuple[str, ...] = ()
    """Which rows; by default all."""
    seeds: tuple[int, ...] = (0,)
    """A run of each row for each seed."""
    num_samples: int = 5000
    """Samples of z for each test image."""
    folder: Path = Path("saved_models/paper_tables")
    """Where the runs are kept."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A model, and what a paper reports of it."""

    flags: str
    """Of `keras_vae.train`."""
    published: float | None = None
    """Negative test log-likelihood, nats per image."""
    num_samples: int | None = None
    """Samples of z, where a slow decoder allows fewer than the others."""


def tables(config: TablesConfig) -> None:
    """Trains and evaluates what is missing, and prints the table."""
    for name in config.rows:
        if name not in ROWS:
            raise unknown("row", name, ROWS)
    table = [
        ("row", "seed", "published nll", "nll", "samples")
        + ("elbo", "active units", "epochs", "minutes")
    ]
    for name in config.rows or ROWS:
        for seed in config.seeds:
            run, row = config.folder / f"{name}-seed-{seed}", ROWS[name]
            num_samples = row.num_samples or config.num_samples
            if not _is_evaluated(run, num_samples):
                _run(run, row, seed, config.images, num_samples)
            table.append((name, str(seed), *_cells(run, row)))
    print_table(table)


def _is_evaluated(run, num_samples):
    if not (run / "metrics.json").is_file():
        return False
    metrics = _metrics(run)
    return (metrics["estimator"], metrics["num_samples"]) == ("importance", num_samples)


def _metrics(run):
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))


def _run(run, row, seed, images, num_samples):
    if not (run / "model.keras").is_file():
        more = f"--seed {seed} --overwrite --export none"
        flags = [*row.flags.split(), *more.split()]
        if status := train([*flags, "--dataset", images, "--output", str(run)]):
            sys.exit(status)
    evaluate(EvaluateConfig(run, num_samples=num_samples))


def _cells(run, row):
    metrics = _metrics(run)
    with open(run / "history.csv", newline="", encoding="utf-8") as file:
        epochs = list(csv.DictReader(file))
    seconds = sum(float(epoch["seconds"]) for epoch in epochs)
    return (
        "-" if row.published is None else f"{row.published:.2f}",
        f"{metrics['nll']:.2f} +- {metrics['nll_standard_error']:.2f}",
        str(metrics["num_samples"]),
        f"{metrics['elbo']:.2f}",
        f"{metrics['active_units']} of {len(metrics['latent_variances'])}",
        str(len(epochs)),
        f"{seconds / 60:.0f}",
    )


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(
        tables, TablesConfig, argv, prog="python -m tests.benchmarks.paper_tables"
    )


ROWS = {
    "burda_vae": Row("--recipe burda_vae", 86.76),
    "burda_iwae_5": Row("--recipe burda_iwae_5", 85.54),
    "burda_iwae_50": Row("--recipe burda_iwae_50", 84.78),
    # published: Norouzi et al. (2020), "Exemplar VAE", Table 1
    "gated_vae": Row("--recipe gated_vae", 84.45),
    "vampprior": Row("--recipe vampprior", 82.43),
    "two_levels": Row("--recipe two_levels", 82.39),
    "two_levels_vampprior": Row("--recipe two_levels_vampprior", 81.56),
    # what a better prior and a better network give
    "classic": Row("--recipe classic"),
    "classic_vampprior": Row("--recipe classic --prior vampprior --num-components 100"),
    "mlp_3_epochs": Row("--recipe classic --epochs 3", num_samples=100),
    "conv_3_epochs": Row(
        "--recipe classic --epochs 3 --network conv --hidden 16 32 --activation relu",
        num_samples=100,
    ),
}

if __name__ == "__main__":
    sys.exit(main())
