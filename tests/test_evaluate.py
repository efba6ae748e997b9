import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from export.bundle import latent_names, training_facts
from keras_vae.data import sources
from keras_vae.data.splits import ArraySplit
from keras_vae.data.sprites import FACTORS, sprites
from keras_vae.evaluate import main
from keras_vae.files import sha256_of
from keras_vae.metrics import features
from keras_vae.metrics.log_likelihood import summary
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


def test_an_estimate_of_more_samples_is_kept(run, tmp_path, capsys):
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "metrics.json").unlink()
    for number, images, kept in (
        (9, 6, 9),
        (1, 6, 9),
        (1, 4, 9),
        (9, 6, 9),
        (9, 4, 9),
        (10, 5, 10),
    ):
        options = ["--num-samples", str(number), "--num-images", str(images)]
        assert main([str(folder), *options]) == 0
        said = capsys.readouterr().out
        assert f"importance, {number} sample{'s' * (number > 1)}, {images} im" in said
        kept_one = "metrics.json keeps its estimate of 9 samples, 6 images." in said
        assert kept_one == (number < 9 or images == 4)
        assert ("All numbers are in" in said) != kept_one
        metrics = json.loads((folder / "metrics.json").read_text())
        assert metrics["num_samples"] == kept
        assert metrics["estimates"]["importance"]["num_samples"] == kept


def test_what_another_evaluation_found_meanwhile_is_kept(run, tmp_path, monkeypatch):
    folder = shutil.copytree(run, tmp_path / "run")
    other = {"0f": {"num_images": 6, "samples": {"num_images": 3}}}

    def found(model, estimates):
        metrics = json.loads((folder / "metrics.json").read_text())
        metrics["samples"] = other
        (folder / "metrics.json").write_text(json.dumps(metrics))
        return summary(model, estimates)

    monkeypatch.setattr("keras_vae.metrics.log_likelihood.summary", found)
    assert main([str(folder), "--num-samples", "40"]) == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["samples"] == other and metrics["num_samples"] == 40


def test_images_that_are_not_evaluated_are_not_read(run, tmp_path, monkeypatch):
    taken = []
    take = ArraySplit.take
    monkeypatch.setattr(
        ArraySplit, "take", lambda split, rows: taken.append(rows) or take(split, rows)
    )
    folder = shutil.copytree(run, tmp_path / "run")
    assert main([str(folder), "--num-samples", "3", "--num-images", "2"]) == 0
    assert taken[-1] == slice(2)


@pytest.mark.parametrize(
    "estimate", ["3", "{}", '{"num_images": 4, "num_samples": ""}']
)
def test_estimates_that_are_none_are_refused(run, tmp_path, capsys, estimate):
    folder = shutil.copytree(run, tmp_path / "run")
    text = f'{{"estimates": {{"importance": {estimate}}}}}'
    (folder / "metrics.json").write_text(text)
    assert main([str(folder), "--num-samples", "3"]) == 3
    assert "is not what a training writes" in capsys.readouterr().err
    assert (folder / "metrics.json").read_text() == text


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
        (["--features", "other.onnx"], 2, "--features is for --samples"),
        (["--num-draws", "9"], 2, "--num-draws is for --samples; give both"),
        (["--samples", "--num-samples", "9"], 2, "--num-samples is not for --samples"),
        (["--samples", "--estimator", "prior"], 2, "--estimator is not for --samples"),
        (["--samples", "--num-draws", "0"], 2, "num_draws must be a whole number >="),
        (["--samples", "--seed", "99999999"], 2, "seed"),
        (["--samples", "--features", "no.onnx"], 4, "There is no file no.onnx"),
        (["--samples", "--features", __file__], 4, "is not an ONNX file"),
        (["--samples", "--num-images", "5"], 3, "6 or more test"),
    ],
)
def test_command_says_in_one_line_what_is_wrong(run, capsys, arguments, code, message):
    before = (run / "metrics.json").read_bytes()
    assert main([str(run), *arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("keras-vae: error: ") and error.count("\n") == 1
    assert message in error
    assert (run / "metrics.json").read_bytes() == before


def test_samples_are_kept_by_extractor_beside_the_estimates(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "metrics.json"
    before = json.loads(path.read_text())
    command = [str(tmp_path / "run"), "--samples", "--num-draws", "20"]
    assert main(command) == 0
    (first,) = json.loads(path.read_text())["samples"].values()
    assert first["extractor"] == "mnist_28x28x1" and first["num_images"] == 6
    assert f"SHA-256 {first['sha256']}" in capsys.readouterr().out
    # another extractor, of color images in another size, has a place of its own
    other = Path(features.__file__).parent / "extractors" / "emoji_32x32x3.onnx"
    assert main([*command, "--features", str(other)]) == 0
    assert main([*command, "--seed", "1"]) == 0
    metrics = json.loads(path.read_text())
    reports = metrics.pop("samples")
    assert {key: report["extractor"] for key, report in reports.items()} == {
        first["sha256"]: "mnist_28x28x1",
        sha256_of(other): "emoji_32x32x3.onnx",
    }
    again = reports[first["sha256"]]
    assert again["seed"] == 1 and again["samples"] != first["samples"]
    assert again["training_images"]["num_images"] == 20
    assert metrics == before | {"estimates": before.get("estimates", {})}
    # fewer draws leave those that are there
    capsys.readouterr()
    assert main([*command[:-1], "10"]) == 0
    assert (
        "metrics.json keeps its numbers of 20 draws, 6 ima" in capsys.readouterr().out
    )
    assert json.loads(path.read_text())["samples"] == reports
    # an estimate leaves the samples where they are
    assert main([str(tmp_path / "run"), "--num-samples", "3"]) == 0
    assert json.loads(path.read_text())["samples"] == reports


def test_command_refuses_a_folder_that_is_no_run(tmp_path, capsys):
    assert main([str(tmp_path)]) == 4
    assert "is no run folder" in capsys.readouterr().err
    assert main([str(tmp_path / "gone")]) == 4
    assert "/gone; train one with" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        '{"estimates": 3}',
        '{"samples": 3}',
        '{"samples": {"0f": {"num_images": 3, "samples": 4}}}',
        99999 * "[",
    ],
)
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


def test_known_factors_bring_scores_and_names_of_latents(tmp_path, capsys, monkeypatch):
    """On 288 of the sprites, a quarter of them in the test split."""

    def few(name):
        raw = sprites(name)
        splits = {
            part: split.part((split.factors[:, 1:] % 3 == 0).all(axis=1))
            for part, split in raw.splits.items()
        }
        return dataclasses.replace(raw, splits=splits)

    monkeypatch.setitem(sources.SOURCES, "sprites", few)
    run = tmp_path / "run"
    options = "--dataset sprites --epochs 1 --hidden 8 --latent-dim 3 --export none"
    assert train([*options.split(), "--output", str(run)]) == 0
    arguments = "--num-samples 2 --num-images 5 --seed 3".split()
    assert main([str(run), *arguments]) == 0
    *_, nll, scores, place, following = capsys.readouterr().out.splitlines()
    assert "5 images" in nll and place.endswith("metrics.json. Next:")
    assert following == f"  python -m keras_vae.evaluate {run} --samples"
    found = json.loads((run / "metrics.json").read_text())
    assert found["num_images"] == 5 and np.isfinite(found["nll"])
    found = found["disentanglement"]
    number = len(sources.load("sprites").test)  # all, though few have an nll
    assert scores.startswith(
        f"disentanglement ({number} images): mig {found['mig']:.3f}"
    )
    assert found["num_images"] == number > 50 and found["seed"] == 3
    assert found["factor_names"] == list(FACTORS)
    for name in ("mig", "sap", "factor_vae", "beta_vae"):
        assert 0 <= found[name] <= 1
    assert set(found["dci"]) == {"disentanglement", "completeness", "informativeness"}
    assert np.shape(found["mutual_information"]) == (3, 5)
    # an export finds the names
    assert latent_names(training_facts(run), 3) == found["latent_names"]
    # the naive estimate makes no headline of its nll, but keeps these
    assert main([str(run), *arguments, "--estimator", "prior"]) == 0
    again = json.loads((run / "metrics.json").read_text())
    assert again["disentanglement"] == found and again["estimator"] == "importance"
