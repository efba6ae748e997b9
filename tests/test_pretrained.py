"""The models that come with the package are what their recipes say, and whole."""

import json

import numpy as np
import pytest

from export.verify import verify
from keras_vae.config import TrainConfig
from keras_vae.defaults import chosen
from keras_vae.generate import generate
from keras_vae.generate import main as generate_main
from keras_vae.recipes import recipe
from keras_vae.runs.folder import RunFolder
from keras_vae.runs.trained import load_run
from keras_vae.runs.typed import command_of
from tests.pretrained import NAMES
from tests.readme_tables import ROOT

every_model = pytest.mark.parametrize("name", NAMES)
MEGABYTES = {"mnist": 3, "mnist-2d": 5, "emoji": 16}  # at most


def folder_of(name):
    return RunFolder(ROOT / "saved_models" / name)


@every_model
def test_its_options_are_those_of_its_recipe(name):
    run = folder_of(name)
    config, data = run.read()
    options = recipe(NAMES[name]).options
    given = {"dataset": config.dataset, "output": config.output, "export": ("onnx",)}
    expected = TrainConfig(**options, **given)
    shape, number = data["image_shape"], data["num_images"]
    assert config == chosen(expected, shape, number)
    manifest = json.loads((run.export / "manifest.json").read_text())
    assert manifest["training"]["command"] == command_of(config)
    assert manifest["training"]["metrics"]["nll"] > 0
    assert config.dataset in ("mnist", "emoji")  # no path of a machine


@every_model
def test_it_is_whole_small_and_generates_what_keras_does(name):
    run = folder_of(name)
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MEGABYTES[name] * 1e6
    checks = verify(run.path)
    assert any(check.error is not None for check in checks)
    vae, _ = load_run(run.path)
    expected = vae.generate(12, seed=3)
    found = generate(run.path, 12, seed=3)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_generate_takes_one_of_them_by_itself(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(ROOT)
    assert generate_main(["--output", str(tmp_path / "a.png"), "--label", "3"]) == 0
    assert (tmp_path / "a.png").is_file()
