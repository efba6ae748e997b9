"""`python -m tests.benchmarks.disent_scores DISENT`: our scores beside its.

The package disent (Michlo 2021) carries the scores of disentanglement_lib (Locatello et
al. 2019). It is given the same codes and halves; what it says is held by
`tests/metrics/test_disentanglement.py`. It brings along a package `tests` that would
hide this one, so it has a folder of its own: `pip install --target DISENT disent`.
"""

import dataclasses
import importlib
import sys
from pathlib import Path

import numpy as np
import tyro

from keras_vae.cli import command
from keras_vae.metrics.disentanglement import dci, halves, mig, sap
from keras_vae.metrics.interventions import factor_vae_score
from tests.benchmarks.interleave import print_table


@dataclasses.dataclass(frozen=True)
class ScoresConfig:
    """Compare the scores of disentanglement with those of the package disent."""

    disent: tyro.conf.Positional[Path]
    """The folder that it was installed into."""


def codes_and_factors() -> tuple[np.ndarray, np.ndarray]:
    """Codes (480, 4) that tell something of factors (480, 3): sums with sines."""
    factors = np.tile(np.indices((3, 4, 5)).reshape(3, -1).T, (8, 1))
    i = np.arange(len(factors))
    first, second, third = factors.T
    columns = (
        first + 0.3 * np.sin(1.3 * i),
        -0.5 * second + 0.4 * np.cos(2.1 * i),
        first * third + np.sin(0.7 * i),
        np.sin(i),
    )
    return np.stack(columns, axis=1), factors


def our_scores(codes: np.ndarray, factors: np.ndarray) -> dict[str, float]:
    """Those of ours that `disent` has, too; draws go into the last one."""
    scores = {
        "mig": mig(codes, factors),
        "sap": sap(codes, factors),
        "sap, continuous": sap(codes, factors, continuous=True),
    }
    scores |= {f"dci {key}": value for key, value in dci(codes, factors).items()}
    return scores | {"factor_vae": factor_vae_score(codes, factors)}


def scores_of_disent(codes: np.ndarray, factors: np.ndarray) -> dict[str, float]:
    """What `disent` says of the same codes; it has them the other way round, (D, N)."""
    metrics = {
        name: importlib.import_module(f"disent.metrics._{name}")
        for name in ("mig", "sap", "dci", "factor_vae")
    }
    both = [part.T for half in halves(codes, factors, 0) for part in half]
    whole = [codes.T, factors.T] * 2
    np.random.seed(0)  # its trees draw from this
    found = metrics["dci"]._compute_dci(*both)
    votes = metrics["factor_vae"].metric_factor_vae(Drawn(codes, factors), np.asarray)
    return {
        "mig": metrics["mig"]._compute_mig(*whole[:2])["mig.discrete_score"],
        "sap": metrics["sap"]._compute_sap(*both, False)["sap.score"],
        "sap, continuous": metrics["sap"]._compute_sap(*whole, True)["sap.score"],
        "dci disentanglement": found["dci.disentanglement"],
        "dci completeness": found["dci.completeness"],
        "dci informativeness": found["dci.informativeness_test"],
        "factor_vae": votes["factor_vae.eval_accuracy"],
    }


class Drawn:
    """Codes as what `disent` takes for a data set: its images are the codes."""

    def __init__(self, codes, factors):
        self.codes, self.factors = codes, factors
        self.num_factors, self.gt_data = factors.shape[1], self

    def dataset_sample_batch(self, number, mode):
        return self.codes[np.random.randint(len(self.codes), size=number)]

    def sample_factors(self, number):
        sizes = self.factors.max(axis=0) + 1
        return np.random.randint(sizes, size=(number, self.num_factors))

    def dataset_batch_from_factors(self, factors, mode):
        same = (self.factors == factors[:, None]).all(axis=2)  # (B, N)
        return self.codes[(np.random.random(same.shape) * same).argmax(axis=1)]


def compare(config: ScoresConfig) -> None:
    """Prints both, and their difference."""
    sys.path.append(str(config.disent))
    ours, theirs = (
        our_scores(*codes_and_factors()),
        scores_of_disent(*codes_and_factors()),
    )
    rows = [
        (name, f"{ours[name]:.10f}", f"{score:.10f}", f"{ours[name] - score:.1e}")
        for name, score in theirs.items()
    ]
    print_table([("score", "ours", "disent", "difference"), *rows])


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    prog = "python -m tests.benchmarks.disent_scores"
    return command(compare, ScoresConfig, argv, prog=prog)


if __name__ == "__main__":
    sys.exit(main())
