"""`python -m tests.benchmarks.color --images FOLDER`: what draws in color look like.

One model of one level, with its prior and with others fitted afterwards, and ladders;
each with the distances of its draws to the test images, in one picture. A run that is
there already is not made again.
"""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

from keras_vae.cli import command
from keras_vae.evaluate import EvaluateConfig, evaluate
from keras_vae.pictures.grids import image_grid
from keras_vae.refit import main as refit
from keras_vae.train import main as train
from tests.benchmarks.interleave import print_table

COLUMNS, LINES = 7, 6  # of the draws shown of each run


@dataclasses.dataclass(frozen=True)
class ColorConfig:
    """Draws of several models of the same color images, and their distances."""

    images: Path
    """A folder of images."""
    image_size: int = 32
    """Their height and width."""
    epochs: int = 40
    """Of a ladder; one level, whose epochs are short, takes half as many again."""
    folder: Path = Path("saved_models/color")
    """Where the runs are kept."""
    output: Path = Path("color.png")
    """The picture."""


ONE = "one level"
STEADY = "--ema 0.995 --clip-norm 200 --kl-warmup 5"
LADDER = f"--network ladder --prior standard_normal {STEADY}"
TRAINED = {  # what a run is called -> its flags
    ONE: "--network plain_conv --prior standard_normal",
    "two levels": f"{LADDER} --num-levels 2",
    "four levels": f"{LADDER} --num-levels 4",
    "levels and flow at once": "",  # the defaults
    "the same averaged": STEADY,
}
REFITTED = {"mixture": (ONE,), "flow": [*TRAINED][:3]}  # the prior -> of which runs


def color(config: ColorConfig) -> None:
    """Makes what is missing, prints the table and draws the picture."""
    runs = {name: config.folder / name.replace(" ", "-") for name in TRAINED}
    for name, flags in TRAINED.items():
        epochs = config.epochs * 3 // 2 if name == ONE else config.epochs
        flags = f"{flags} --epochs {epochs} --image-size {config.image_size}".split()
        flags += ["--export", "none"]
        _unless(runs[name], train, ["--dataset", str(config.images), *flags])
    for prior, names in REFITTED.items():
        for name in names:
            runs[f"{name}, {prior}"] = run = Path(f"{runs[name]}-{prior}")
            _unless(run, refit, [str(runs[name]), "--prior", prior, "--export", "none"])
    runs = dict(sorted(runs.items(), key=lambda item: [*TRAINED].index(_trained(item))))
    distances = {name: _distances(run) for name, run in runs.items()}
    _table(distances)
    _picture(config.output, runs, distances)
    print(f"The draws are in {config.output}.")


def _trained(item):
    return item[0].partition(",")[0]


def _unless(run, made_by, arguments):
    """Makes a run where there is none."""
    if not (run / "model.keras").is_file():
        flags = ["--output", str(run), "--overwrite"]
        if status := made_by([*arguments, *flags]):
            sys.exit(status)


def _distances(run):
    """What `evaluate --samples` finds, of a run that is new or was compared before."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    reports = [*metrics.get("samples", {}).values()]
    if not reports or reports[0]["samples"]["num_images"] != EvaluateConfig.num_draws:
        evaluate(EvaluateConfig(run, samples=True))
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        reports = [*metrics["samples"].values()]
    return reports[0] | {"elbo": metrics["elbo"]}


def _table(distances):
    head = ("model", "elbo", "Frechet distance", "kernel distance", "precision")
    rows = [(*head, "recall", "density", "coverage")]
    names = ("frechet_distance", "kernel_distance", "precision", "recall", "density")
    for name, report in distances.items():
        numbers = report["samples"]
        cells = [f"{numbers[key]:.3g}" for key in (*names, "coverage")]
        rows.append((name, f"{report['elbo']:.1f}", *cells))
    print_table(rows)
    report = next(iter(distances.values()))
    print(f"Features: {report['extractor']}, SHA-256 {report['sha256']}.")


def _picture(path, runs, distances):
    from matplotlib.figure import Figure

    from keras_vae.runs.trained import load_run

    figure = Figure(figsize=(9.2, 4.6), dpi=110, layout="constrained")
    places = figure.subplots(2, -(-len(runs) // 2)).ravel()
    for axes in places:
        axes.axis("off")
    for axes, (name, run) in zip(places, runs.items(), strict=False):
        vae, _ = load_run(run)
        grid = image_grid(vae.generate(COLUMNS * LINES), COLUMNS)
        axes.imshow(np.squeeze(grid), interpolation="nearest")
        numbers = distances[name]["samples"]
        distance = f"Frechet distance {numbers['frechet_distance']:.1f}"
        axes.set_title(f"{name}\n{distance}", fontsize=7)
    figure.savefig(path)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(color, ColorConfig, argv, prog="python -m tests.benchmarks.color")


if __name__ == "__main__":
    sys.exit(main())
