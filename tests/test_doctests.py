"""The examples in the docstrings are true.

Each runs as it stands, in a folder with a finished run, and with the names that a
reader takes for granted: the package's own parts, a small model, images. What an
example shows as its output must come; where it shows none, anything may.
"""

import doctest
import importlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("keras_vae", "export")
    for path in (ROOT / package).rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
}

# object: why its example does not run
SKIPPED = {
    "keras_vae.cli.command": "ends the process",
    "keras_vae.train.train": "trains for 20 s; tests/test_train.py does it smaller",
    "export.serve.serve": "serves for ever; tests/export/test_serve.py ends it",
    "export.export_decoder": "the difference it shows varies with the machine",
    "export.parity.check_parity": "as above",
}
NEEDS = {"export.serve": "uvicorn"}  # module: what it imports of an extra


class Checker(doctest.OutputChecker):
    """Compares the output that an example shows; none is shown, none compared."""

    def check_output(self, want, got, optionflags):
        return not want or super().check_output(want, got, optionflags)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which `saved_models/vae` is a trained run."""
    from keras_vae.train import main

    folder = tmp_path_factory.mktemp("examples")
    output = f"--output {folder}/saved_models/vae --hidden 16 --export onnx"
    assert main(f"--dataset digits --epochs 1 {output}".split()) == 0
    return folder


@pytest.fixture
def names():
    """What examples do not say."""
    import keras
    from keras import ops

    from keras_vae.config import TrainConfig
    from keras_vae.data.sources import load
    from keras_vae.distributions import latents, priors, table
    from keras_vae.distributions.likelihoods import bits_per_dimension
    from keras_vae.explore import Traverse, view
    from keras_vae.model import VAE
    from keras_vae.networks.levels import levels
    from keras_vae.networks.mlp import mlp
    from keras_vae.objectives.table import OBJECTIVES
    from keras_vae.objectives.terms import Objective
    from keras_vae.runs.folder import RunFolder
    from keras_vae.runs.trained import TrainedRun

    tables = (table.POSTERIORS, table.PRIORS, table.LIKELIHOODS, OBJECTIVES)
    parts = {part.__name__: part for members in tables for part in members.values()}
    images = np.random.default_rng(0).integers(0, 256, (1000, 28, 28, 1), np.uint8)
    encoder, decoder = mlp((28, 28, 1), 20, posterior_params=40, likelihood_params=1)
    vae = VAE(encoder, decoder)
    vae.compile("adam")
    return {
        **{"keras": keras, "ops": ops, "np": np, "Path": Path, "partial": partial},
        **{"VAE": VAE, "OneLevel": latents.OneLevel, "OBJECTIVES": OBJECTIVES},
        **{"Prior": priors.Prior, "Objective": Objective},
        **{"TrainedRun": TrainedRun, "Traverse": Traverse, "view": view},
        **{"load": load, "digits": load("digits")},
        **{"bits_per_dimension": bits_per_dimension, "levels": levels, "mlp": mlp},
        **parts,
        **{"images": images, "labels": np.arange(1000) % 10},
        **{"encoder": encoder, "decoder": decoder, "vae": vae},
        "x": images[:8] / np.float32(255),
        "z": ops.zeros((8, 20)),
        "posterior": parts["DiagonalGaussian"](20, seed=0),
        "prior": parts["StandardNormal"](20),
        "history": {"epoch": np.arange(1, 4), "loss": np.array([9.0, 5.0, 4.0])},
        "folder": RunFolder("saved_models/other"),
        "config": TrainConfig(),
        "data": {"name": "digits", "image_shape": [28, 28, 1], "num_classes": None},
    }


@pytest.mark.parametrize("module", sorted(MODULES))
def test_examples_are_true(module, folder, names, monkeypatch):
    if module in NEEDS:
        pytest.importorskip(NEEDS[module])
    monkeypatch.chdir(folder)
    found = doctest.DocTestFinder().find(importlib.import_module(module), module)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(Checker(), optionflags=flags)
    for example in found:
        if example.name not in SKIPPED:
            example.globs = names | example.globs
            report = []
            runner.run(example, out=report.append)
            assert not runner.failures, "".join(report)


@pytest.mark.parametrize("name", SKIPPED)
def test_what_is_skipped_exists(name):
    module, _, attribute = name.rpartition(".")
    if module in NEEDS:
        pytest.importorskip(NEEDS[module])
    assert ">>>" in getattr(importlib.import_module(module), attribute).__doc__
