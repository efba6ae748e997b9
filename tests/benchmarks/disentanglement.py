"""`python -m tests.benchmarks.disentanglement`: beta-TCVAE beside the plain ELBO.

Both train the same network on the made sprites for as many steps, once for each seed;
the scores are those of the test images (`keras_vae.metrics.disentanglement`).
"""

import dataclasses
import sys

import numpy as np

from keras_vae.cli import command, start_tensorflow
from keras_vae.config import TrainConfig
from keras_vae.data.sources import load
from keras_vae.metrics.disentanglement import mig, sap
from keras_vae.metrics.interventions import beta_vae_score, factor_vae_score
from tests.benchmarks.interleave import print_table

OBJECTIVES = {"elbo": {"beta": 1.0}, "beta_tcvae": {"beta": 6.0}}
# What both have in common: `TrainConfig`'s options.
MODEL = {"network": "mlp", "hidden": (256, 256), "latent_dim": 10, "batch_size": 64}
# Not DCI: its trees take longer than the training.
SCORES = {
    "mig": mig,
    "sap": sap,
    "factor_vae": factor_vae_score,
    "beta_vae": beta_vae_score,
}


@dataclasses.dataclass(frozen=True)
class DisentanglementConfig:
    """Train beta-TCVAE and the plain ELBO on sprites, and compare their scores."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """A training of each for each seed."""
    epochs: int = 10
    """Of 243 steps each, for both."""


def compare(config: DisentanglementConfig) -> None:
    """Trains each once for each seed and prints the table as it grows."""
    start_tensorflow()
    source = load("sprites", validation_images=0)
    found = {name: [] for name in OBJECTIVES}
    for seed in config.seeds:
        for name in OBJECTIVES:
            scores = _scores(source, name, seed, config.epochs)
            found[name].append(scores)
            text = ", ".join(f"{key} {value:.4f}" for key, value in scores.items())
            print(f"seed {seed}, {name}: {text}", flush=True)
    names = list(found["elbo"][0])
    table = [("objective", *names)]
    for objective, each in found.items():
        columns = [np.array([scores[name] for scores in each]) for name in names]
        cells = [
            f"{column.mean():.3f} +- {column.std(ddof=1):.3f}" for column in columns
        ]
        table.append((objective, *cells))
    print_table(table)
    pairs = zip(found["beta_tcvae"], found["elbo"], strict=True)
    better = sum(ours["mig"] > plain["mig"] for ours, plain in pairs)
    print(f"beta_tcvae has the higher mig in {better} of {len(config.seeds)} seeds")


def _scores(source, objective, seed, epochs):
    """A model's scores after its training, and its elbo in nats per image."""
    from keras_vae.runs.build import build_optimizer, build_vae

    options = {"likelihood": "bernoulli", "precision": "float32", "seed": seed}
    options |= MODEL | {"objective": objective} | OBJECTIVES[objective]
    config = TrainConfig(dataset="sprites", **options)
    num_images = len(source.train)
    vae = build_vae(config, source.image_shape, num_images=num_images)
    vae.compile(build_optimizer(config, num_images), steps_per_execution="auto")
    vae.fit(source.train, batch_size=config.batch_size, epochs=epochs, verbose=0)
    metrics = vae.evaluate(source.test, verbose=0, return_dict=True)
    codes = vae.encode(source.test.images)
    scores = {name: score(codes, source.factors) for name, score in SCORES.items()}
    return scores | {"elbo": metrics["elbo"]}


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    prog = "python -m tests.benchmarks.disentanglement"
    return command(compare, DisentanglementConfig, argv, prog=prog)


if __name__ == "__main__":
    sys.exit(main())
