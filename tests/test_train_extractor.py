import json

import numpy as np
import pytest

from keras_vae.evaluate import main as evaluate
from keras_vae.metrics.features import Extractor
from keras_vae.train_extractor import main


@pytest.fixture
def labeled(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 3
    images = rng.integers(0, 60, (160, 9, 8), np.uint8)
    images[np.arange(160), 3 * labels] = 250
    np.savez(tmp_path / "rows.npz", images=images, labels=labels)
    return tmp_path / "rows.npz"


def test_command_writes_the_same_extractor_for_the_same_seed(labeled, tmp_path, capsys):
    one, other = tmp_path / "one.onnx", tmp_path / "other.onnx"
    for path in (one, other):
        options = f"{path} --dataset {labeled} --epochs 1 --damage-weight 0.5"
        assert main(options.split()) == 0
    assert one.read_bytes() == other.read_bytes()
    extractor = Extractor("one", one.read_bytes())
    assert extractor.image_shape == (9, 8, 1) and extractor.num_features == 64
    printed = capsys.readouterr().out
    assert "held-out accuracy: label 0." in printed and extractor.sha256 in printed
    assert not list(tmp_path.glob(".tmp*"))


def test_an_extractor_of_ones_own_serves_evaluate(labeled, untrained, tmp_path, capsys):
    path = tmp_path / "own.onnx"
    assert main(f"{path} --dataset {labeled} --epochs 1".split()) == 0
    run = untrained(tmp_path)
    options = f"{run} --samples --num-draws 10 --features {path}"
    assert evaluate(options.split()) == 0
    reports = json.loads((run / "metrics.json").read_text())["samples"]
    assert [report["extractor"] for report in reports.values()] == ["own.onnx"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (".", 2, "must end in .onnx"),
        ("out.npz", 2, "must end in .onnx"),
        ("no/out.onnx", 2, "no folder"),
        ("out.onnx --epochs 0", 2, "epochs must be a whole number >= 1"),
        ("out.onnx --damage-weight -1", 2, "damage_weight must be a number >= 0"),
        ("out.onnx --dataset nothing.npz", 3, "nothing.npz"),
    ],
)
def test_mistakes_are_told_in_one_line(
    options, code, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(options.split()) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced(tmp_path, capsys):
    path = tmp_path / "own.onnx"
    path.write_text("mine")
    assert main([str(path), "--dataset", "digits"]) == 5
    assert "exists; choose another, or remove it" in capsys.readouterr().err
    assert path.read_text() == "mine"
