import csv
import os
import signal

import numpy as np
import pytest

from keras_vae.runs.trained import load_run
from keras_vae.train import main


@pytest.fixture
def options(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "images.npz", images=rng.integers(0, 256, (120, 8, 8), "uint8"))
    return (
        f"--dataset {tmp_path / 'images.npz'} --epochs 3 --batch-size 16 --hidden 12 "
        "--latent-dim 2 --fused-steps 2 --export none"
    ).split()


def history(run):
    with open(run / "history.csv", newline="") as file:
        return [
            {name: value for name, value in row.items() if name != "seconds"}
            for row in csv.DictReader(file)
        ]


def test_ctrl_c_saves_and_resume_ends_as_if_it_had_not_been(
    options, tmp_path, capsys, monkeypatch
):
    def interrupted(callback, epoch, logs=None):
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert main([*options, "--output", str(whole)]) == 0
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(
            "keras_vae.training.callbacks.ImageGrids.on_epoch_begin", interrupted
        )
        assert main([*options, "--output", str(cut)]) == 130
    assert capsys.readouterr().err == (
        "Stopping after this step; Ctrl-C again ends at once.\n"
        "Stopped in epoch 2, after 2 of 7 steps; all is saved in "
        f"{cut / 'checkpoints'}. Go on with: python -m keras_vae.train --resume "
        f"--output {cut}\n"
    )
    assert main([*options, "--output", str(cut)]) == 2
    again = (
        f"finish it with `python -m keras_vae.train --resume --output {cut}`, choose"
    )
    assert again in capsys.readouterr().err
    assert main(["--resume", "--output", str(cut), "--latent-dim", "3"]) == 4
    assert "with --latent-dim 2, not 3" in capsys.readouterr().err
    capsys.readouterr()
    assert main(["--resume", "--output", str(cut)]) == 0
    assert f"{cut} is resumed, with the options it has." in capsys.readouterr().out
    for name in ("metrics.json", "samples/epoch-0003-reconstructed.png"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    assert history(cut) == history(whole)
    (vae, config), (best, _) = load_run(cut), load_run(cut, best=True)
    assert config.epochs == 3 and not config.resume
    elbo = [float(row["val_elbo"]) for row in history(cut)]
    last_is_best = elbo[-1] == max(elbo)
    for last, other in zip(vae.get_weights(), best.get_weights(), strict=True):
        assert np.isfinite(other).all() and other.shape == last.shape
        assert not last_is_best or np.array_equal(last, other)
    assert main(["--resume", "--output", str(cut)]) == 0
    assert f"{cut} has all its 3 epochs; see --epochs." in capsys.readouterr().out
    assert history(cut) == history(whole)


def test_with_all_that_long_runs_need_it_ends_with_the_same_bits(
    options, tmp_path, capsys, monkeypatch
):
    """Both end before their 30 epochs, with the averaged weights of the best one."""
    options += (
        "--epochs 30 --learning-rate 0.02 --learning-rate-warmup 1.5 --cosine-decay "
        "--clip-norm 20 --ema 0.5 --early-stopping 1 --precision float16"
    ).split()
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert main([*options, "--output", str(whole)]) == 0
    rows = history(whole)
    losses = [float(row["val_loss"]) for row in rows]
    best = int(np.argmin(losses)) + 1
    assert best == len(rows) - 1 < 29
    said = capsys.readouterr().out
    assert f"The weights are those of epoch {best}, with the least val_loss" in said
    assert said.count(" left\n") == len(rows) - 1
    calls = iter(range(1000))

    def killed(callback, epoch, logs=None):
        if next(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("keras_vae.training.callbacks.ImageGrids.on_epoch_begin", killed)
        assert main([*options, "--output", str(cut)]) == 143
    assert main(["--resume", "--output", str(cut)]) == 0
    for name in ("metrics.json", f"samples/epoch-{len(rows):04d}-generated.png"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    assert history(cut) == rows
    capsys.readouterr()
    assert main(["--resume", "--output", str(cut), "--epochs", "40"]) == 4
    stopped = f"stopped itself after epoch {len(rows)}, by --early-stopping 1"
    assert stopped in capsys.readouterr().err
    (vae, _), (other, _) = load_run(cut), load_run(whole)
    (kept, _) = load_run(whole, best=True)
    for a, b, c in zip(
        vae.get_weights(), other.get_weights(), kept.get_weights(), strict=True
    ):
        assert np.array_equal(a, b) and np.array_equal(b, c)


def test_images_that_no_run_could_be_loaded_with_are_refused(tmp_path, capsys):
    np.save(tmp_path / "rows.npy", np.full((30, 1, 70_000), 9, np.uint8))
    data, run = f"--dataset={tmp_path / 'rows.npy'}", tmp_path / "run"
    assert main([data, "--output", str(run)]) == 3
    assert "is [1, 70000, 1]; at most 65,536 are supported" in capsys.readouterr().err
    assert not run.exists()


def test_what_was_to_become_a_run_is_not_forgotten(options, tmp_path, capsys):
    run, left = tmp_path / "run", tmp_path / "run.partial"
    left.mkdir()
    (left / "config.json").write_text("{}")
    assert main([*options, "--output", str(run)]) == 2
    assert f"{left} is unfinished and was to become {run}" in capsys.readouterr().err
    assert not run.exists()


def test_more_epochs_are_trained_on_a_run_that_was_over(options, tmp_path):
    whole, more = tmp_path / "whole", tmp_path / "more"
    assert main([*options, "--output", str(whole)]) == 0
    assert main([*options, "--output", str(more), "--epochs", "1"]) == 0
    assert main(["--resume", "--output", str(more), "--epochs", "3"]) == 0
    assert history(more) == history(whole)
    assert (more / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()
    assert load_run(more)[1].epochs == 3
