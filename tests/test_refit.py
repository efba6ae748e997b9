import csv
import hashlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_vae.evaluate import main as evaluate
from keras_vae.explore import main as explore
from keras_vae.generate import main as generate
from keras_vae.refit import main
from keras_vae.runs import refitting
from keras_vae.runs.trained import load_run
from keras_vae.train import main as train

FEW = "--epochs 2 --batch-size 16 --num-couplings 2 --prior-hidden 4".split()


def contents(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).digest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def run(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refit") / "run"
    options = f"--dataset {rows} --output {folder} --epochs 3 --batch-size 16"
    more = "--hidden 8 --latent-dim 3 --learning-rate 0.01 --export onnx"
    assert train([*options.split(), *more.split()]) == 0
    return folder


@pytest.fixture(scope="module")
def refitted(run):
    before = contents(run)
    assert main([str(run), *FEW]) == 0
    assert contents(run) == before
    return run.with_name("run-flow")


def test_the_new_run_is_complete(run, refitted, capsys):
    names = {path.as_posix() for path in contents(refitted)}
    assert names == {
        "config.json",
        "environment.json",
        "history.csv",
        "metrics.json",
        "model.keras",
        "SHA256SUMS",
        "samples/epoch-0002-generated.png",
        "samples/epoch-0002-reconstructed.png",
        *(path.as_posix() for path in contents(run) if path.parts[0] == "export"),
    }
    assert not list(run.parent.glob("*.partial"))
    (old, _), (new, config) = load_run(run), load_run(refitted)
    assert (config.prior, config.num_couplings, config.prior_hidden) == ("flow", 2, 4)
    for name in ("encoder", "decoder"):
        for a, b in zip(
            getattr(old, name).weights, getattr(new, name).weights, strict=True
        ):
            np.testing.assert_array_equal(a, b)
    with open(refitted / "history.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    metrics = json.loads((refitted / "metrics.json").read_text())
    earlier = json.loads((run / "metrics.json").read_text())
    assert metrics["before"]["elbo"] == pytest.approx(earlier["elbo"], rel=1e-6)
    assert metrics["before"]["prior"] == "standard_normal"
    (distances,) = metrics["samples"].values()
    named = ("samples_before", "samples", "training_images")
    assert all(distances[name]["frechet_distance"] > 0 for name in named)
    same = pytest.approx(earlier["log_likelihood"], rel=1e-6)
    assert metrics["log_likelihood"] == same and metrics["elbo"] != earlier["elbo"]


def test_the_other_commands_take_it(refitted, tmp_path, capsys):
    shutil.copytree(refitted, tmp_path / "run")
    new = tmp_path / "run"
    assert generate([str(new), "--output", str(tmp_path / "some.png")]) == 0
    with Image.open(tmp_path / "some.png") as some:
        with Image.open(new / "samples/epoch-0002-generated.png") as picture:
            # the exported generator's pixels, rounded to 8 bits
            difference = np.asarray(some, np.int64) - np.asarray(picture, np.int64)
    assert np.abs(difference).max() <= 1
    assert evaluate([str(new), "--num-samples", "10"]) == 0
    assert explore([str(new), "plots", "--output", str(tmp_path / "plots.png")]) == 0
    once = "--prior mixture --epochs 1 --export none".split()
    assert main([str(new), *once]) == 0
    assert load_run(tmp_path / "run-mixture")[1].num_couplings is None
    before = contents(new)
    assert train(["--resume", "--output", str(new), "--epochs", "4"]) == 4
    assert "a prior that was fitted to a trained model" in capsys.readouterr().err
    assert train(["--config", str(new), "--output", str(tmp_path / "again")]) == 4
    assert "--config cannot repeat; repeat that model's" in capsys.readouterr().err
    assert contents(new) == before


def test_images_that_were_renamed_are_found_by_the_new_run(run, rows, tmp_path):
    moved = shutil.copy(rows, tmp_path / "photos.npz")
    arguments = ["--dataset", str(moved), "--output", str(tmp_path / "new")]
    more = "--prior mixture --epochs 1 --export none".split()
    assert main([str(run), *arguments, *more]) == 0
    assert evaluate([str(tmp_path / "new"), "--num-samples", "2"]) == 0
    data = json.loads((tmp_path / "new" / "config.json").read_text())["data"]
    assert data["name"] == "photos" and str(moved) in data["provenance"]


def test_the_same_command_writes_the_same_run(run, refitted, tmp_path):
    new = tmp_path / "new"
    assert main([str(run), *FEW, "--output", str(new), "--export", "none"]) == 0
    for name in ("metrics.json", "samples/epoch-0002-generated.png"):
        assert (new / name).read_bytes() == (refitted / name).read_bytes()
    weights = [load_run(folder)[0].get_weights() for folder in (refitted, new)]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_that_is_there_is_replaced_on_request_only(run, tmp_path, capsys):
    new = shutil.copytree(run, tmp_path / "new")
    before = contents(new)
    arguments = [str(run), "--output", str(new), "--export", "none"]
    assert main([*arguments, *FEW]) == 2
    assert "already holds a run; choose another" in capsys.readouterr().err
    assert contents(new) == before
    assert main([*arguments, "--overwrite", "--prior", "mixture", "--epochs", "1"]) == 0
    assert load_run(new)[1].prior == "mixture"


def test_what_is_cut_short_leaves_nothing(run, tmp_path, monkeypatch, capsys):
    def cut(*arguments):
        raise KeyboardInterrupt

    (tmp_path / "new.partial").mkdir()  # left by one that was killed
    shutil.copy(run / "config.json", tmp_path / "new.partial")
    monkeypatch.setattr(refitting, "write_history", cut)
    assert main([str(run), *FEW, "--output", str(tmp_path / "new")]) == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--prior", "standard_normal"], 2, "standard_normal has no weights to fit"),
        (["--prior", "vampprior"], 2, "vampprior is made of posteriors, and learned"),
        (["--prior", "flwo"], 2, "Did you mean 'flow'"),
        (["--num-components", "3"], 2, "The prior flow has no num_components"),
        (["--epochs", "0"], 2, "epochs must be a whole number >= 1"),
        (["--learning-rate", "0"], 2, "learning_rate must be a number > 0"),
        (["--seed", "-1"], 2, "seed must be a whole number >= 0"),
        (["--export", "onx"], 2, "Unknown export format 'onx'"),
        (["--output", "RUN"], 2, "stays as it is; choose another folder"),
        (["--output", "RUN/new", "--overwrite"], 2, "stays as it is; choose another"),
    ],
)
def test_command_says_in_one_line_what_is_wrong(run, capsys, arguments, code, message):
    before = contents(run)
    arguments = [argument.replace("RUN", str(run)) for argument in arguments]
    assert main([str(run), *arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("keras-vae: error: ") and error.count("\n") == 1
    assert message in error
    assert contents(run) == before


def test_command_refuses_a_folder_that_is_no_run(tmp_path, capsys):
    assert main([str(tmp_path)]) == 4
    assert "is no run folder" in capsys.readouterr().err
