"""A training whose options were left to the images."""

import json

import numpy as np

from export.bundle import training_facts
from keras_vae.data import sources
from keras_vae.runs.trained import load_run
from keras_vae.train import main


def test_what_was_chosen_is_said_recorded_and_resumed(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (60, 13, 10, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    run = tmp_path / "run"
    command = f"--dataset {tmp_path}/images.npy --output {run} --export none"
    assert main([*command.split(), "--epochs", "1", "--latent-dim", "3"]) == 0
    printed = capsys.readouterr().out
    flags = (
        "13x10x3: --network plain_conv --hidden 16 32 --prior flow "
        "--likelihood bernoulli --batch-size 8 --precision float32"
    )
    assert flags in printed

    options = json.loads((run / "config.json").read_text())
    assert options["network"] == "plain_conv" and options["hidden"] == [16, 32]
    assert options["batch_size"] == 8 and options["precision"] == "float32"
    vae, _ = load_run(run)
    assert vae.decode(np.zeros((1, 3), "f")).shape == (1, 13, 10, 3)

    assert main([*command.split(), "--resume", "--epochs", "2"]) == 0
    assert "Chosen" not in capsys.readouterr().out
    assert len((run / "history.csv").read_text().splitlines()) == 3


def test_a_run_names_the_images_that_were_chosen(tmp_path, monkeypatch, capsys):
    """On another day, with a network, `auto` may be MNIST."""
    monkeypatch.setitem(sources.SOURCES, "auto", lambda name: sources.digits("digits"))
    run = tmp_path / "run"
    command = f"--output {run} --epochs 1 --hidden 4 --export none".split()
    assert main(command) == 0
    assert json.loads((run / "config.json").read_text())["dataset"] == "digits"
    assert "train --dataset digits --network" in training_facts(run)["command"]
    monkeypatch.delitem(sources.SOURCES, "auto")
    assert main(["--output", str(run), "--resume"]) == 0
    assert "has all its 1 epochs" in capsys.readouterr().out
