import json
import shutil

import numpy as np
import pytest

from keras_vae.evaluate import main
from keras_vae.train import main as train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4), np.uint8)
    np.savez(folder / "noise.npz", images=images)
    options = f"--dataset {folder / 'noise.npz'} --output {folder / 'run'} --epochs 1"
    more = "--hidden 4 --latent-dim 2 --batch-size 16 --export none"
    assert train([*options.split(), *more.split()]) == 0
    return folder / "run"


def test_command_merges_both_estimators_into_the_metrics(run, capsys):
    assert main([str(run), "--num-samples", "20"]) == 0
    assert "nats per image (importance, 20 samples, 6 images" in capsys.readouterr().out
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("nll", "nll_standard_error", "elbo", "kl_divergence", "active_units"):
        assert np.isfinite(metrics[name])
    assert metrics["num_samples"] == 20 and metrics["estimator"] == "importance"
    assert metrics["binarization"] == "grey" and metrics["split"] == "test"
    assert metrics["dataset"]
    arguments = "--num-samples 30 --estimator prior --num-images 4".split()
    assert main([str(run), *arguments]) == 0
    both = json.loads((run / "metrics.json").read_text())
    naive = both["estimates"].pop("prior")
    assert naive["num_samples"] == 30 and naive["num_images"] == 4
    assert np.isfinite(naive["nll"]) and naive["nll"] != metrics["nll"]
    assert both == metrics  # the headline is that of importance sampling
    assert both["estimates"]["importance"]["nll"] == metrics["nll"]
    assert not list(run.glob(".tmp*"))


def test_the_naive_estimate_alone_makes_no_headline(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    metrics = {"elbo": -12.5, "estimator": "elbo"}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    arguments = "--num-samples 3 --estimator prior --num-images 2".split()
    assert main([str(tmp_path / "run"), *arguments]) == 0
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert np.isfinite(found.pop("estimates")["prior"]["nll"])
    assert found == metrics


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--num-samples", "99999999999999"], 2, "num_samples must be a whole"),
        (["--seed", "99999999999999999999"], 2, "seed must be a whole number <="),
        (["--num-samples", "0"], 2, "num_samples must be a whole number >= 1"),
        (["--num-images", "0"], 2, "num_images must be a whole number >= 1"),
        (["--estimator", "bogus"], 2, "estimator"),
    ],
)
def test_command_says_in_one_line_what_is_wrong(run, capsys, arguments, code, message):
    before = (run / "metrics.json").read_bytes()
    assert main([str(run), *arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("keras-vae: error: ") and error.count("\n") == 1
    assert message in error
    assert (run / "metrics.json").read_bytes() == before


def test_command_refuses_a_folder_that_is_no_run(tmp_path, capsys):
    assert main([str(tmp_path)]) == 4
    assert "is not a finished run" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "3", '{"estimates": 3}', 99999 * "["])
def test_metrics_of_somebody_else_are_refused_before_the_work(
    run, tmp_path, text, capsys
):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").write_text(text)
    assert main([str(tmp_path / "run"), "--num-samples", "1000000"]) == 3
    error = capsys.readouterr().err
    assert "metrics.json is not what a training writes" in error
    assert error.count("\n") == 1
    assert (tmp_path / "run" / "metrics.json").read_text() == text
