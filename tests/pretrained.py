"""`python -m tests.pretrained NAME --images DATA`: a model of `saved_models` anew.

It is trained by the recipe of its name, which its manifest holds as a command, and
measured. What is left in its folder is what a user needs: the model without its
optimizer, ONNX files, metrics, and the pictures of the last epoch. A run that is there
already is not trained again.
"""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import tyro

from keras_vae.cli import command
from keras_vae.errors import unknown
from keras_vae.evaluate import EvaluateConfig, evaluate
from keras_vae.files import write_text
from keras_vae.runs.folder import RunFolder
from keras_vae.train import main as train

NAMES = {"mnist": "mnist", "mnist-2d": "mnist_2d", "emoji": "emoji"}  # run -> recipe


@dataclasses.dataclass(frozen=True)
class PretrainedConfig:
    """Make a model that comes with the package."""

    name: tyro.conf.Positional[str]
    """mnist, mnist-2d or emoji."""
    images: str
    """Where its images are, as for keras_vae.train --dataset."""
    folder: Path = Path("saved_models")
    """Where it is written."""
    num_samples: int = 200
    """Samples of z for each test image, for the log-likelihood."""
    num_images: int = 1000
    """Test images that it is estimated of: a ladder takes its time."""


def pretrained(config: PretrainedConfig) -> None:
    """Trains, measures, exports and tidies up."""
    if config.name not in NAMES:
        raise unknown("model", config.name, NAMES)
    run = RunFolder(config.folder / config.name)
    if not run.model.is_file():
        options = ["--recipe", NAMES[config.name], "--dataset", config.images]
        if status := train([*options, "--export", "none", "--output", str(run)]):
            sys.exit(status)
    metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
    if metrics["num_samples"] != config.num_samples:
        sizes = {"num_samples": config.num_samples, "num_images": config.num_images}
        evaluate(EvaluateConfig(run.path, **sizes))
    if "samples" not in metrics:
        evaluate(EvaluateConfig(run.path, samples=True))
    _export(run)
    _tidy(run, config)


def _export(run):
    """Model and decoder, without what only a training needs."""
    from export import export_decoder
    from export.bundle import training_facts
    from keras_vae.runs.model_file import save_model
    from keras_vae.runs.trained import load_run

    vae, _ = load_run(run.path)
    save_model(vae, run)
    facts = training_facts(run.path)
    export_decoder(vae, run.export, ["onnx"], training=facts, verbose=True)


def _tidy(run, config):
    """Leaves no path of this machine, and no more than a user needs."""
    options, data = run.read()
    public = Path(config.images).name
    data["provenance"] = data["provenance"].replace(options.dataset, public)
    output = Path("saved_models") / config.name
    options = dataclasses.replace(
        options, dataset=public, output=output, overwrite=False, export=("onnx",)
    )
    text = json.dumps(json.loads(options.to_json()) | {"data": data}, indent=2)
    write_text(run.config, f"{text}\n")
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    run.environment.unlink(missing_ok=True)  # versions are in the manifest
    last = max(run.samples.glob("epoch-*-generated.png"), default=None)
    for picture in run.samples.glob("epoch-*.png"):
        if last is not None and picture.name[:10] != last.name[:10]:
            picture.unlink()
    size = sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
    print(f"{run}: {size / 1e6:.1f} MB")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(
        pretrained, PretrainedConfig, argv, prog="python -m tests.pretrained"
    )


if __name__ == "__main__":
    sys.exit(main())
