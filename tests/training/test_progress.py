"""What a training says, in a log file and on a terminal."""

import contextlib
import io
import re
import sys

import pytest

from keras_vae.training import progress
from keras_vae.training.progress import EpochLines

LINE = (
    r"Epoch \d/4: elbo -?\d+\.\d\d, kl_divergence \d+\.\d\d, log_likelihood "
    r"-?\d+\.\d\d, val_elbo -?\d+\.\d\d, .*val_log_likelihood -?\d+\.\d\d"
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_has_a_line_an_epoch_and_one_format(small_vae, images, capsys):
    x = images(12)
    with contextlib.closing(EpochLines()) as lines:
        small_vae().fit(x, epochs=4, validation_data=x, verbose=0, callbacks=[lines])
    out, err = capsys.readouterr()
    assert err == ""
    start, first, *middle, last = out.splitlines()
    assert start == "Compiling; an epoch has 1 steps."
    for line in (first, last):  # the first epoch is compiled: it says nothing
        assert re.fullmatch(LINE, line)
    assert len(middle) == 2
    for line in middle:
        assert re.fullmatch(LINE + r"; about \d+ s left", line)


def test_the_time_left_leaves_the_first_epoch_out(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    lines = EpochLines()
    lines.set_params({"epochs": 12, "steps": None})
    lines.on_train_begin()
    for epoch, seconds in enumerate([90.0, 30.0, 40.0, 30.0], 3):
        lines.on_epoch_begin(epoch)
        now[0] += seconds
        lines.on_epoch_end(epoch, {"loss": 3.14159})
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Epoch 4/12: loss 3.14",
        "Epoch 5/12: loss 3.14; about 4 min left",  # 7 of 30 s
        "Epoch 6/12: loss 3.14; about 4 min left",  # 6 of 35 s
        "Epoch 7/12: loss 3.14; about 2 min left",  # 5 of 30 s
    ]


def test_a_terminal_has_a_bar_that_goes_away(small_vae, images, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())

    def interrupted(lines, batch, logs=None):
        raise KeyboardInterrupt

    with contextlib.closing(EpochLines()) as lines:
        small_vae().fit(images(12), epochs=1, verbose=0, callbacks=[lines])
    shown = terminal.getvalue()
    assert "Epoch 1/1:   0%" in shown and "/1 [" in shown
    assert (
        shown.endswith("\r")
        and not shown.rpartition("\r")[0].rpartition("\r")[2].strip()
    )
    terminal.truncate(0)
    monkeypatch.setattr(EpochLines, "on_train_batch_end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        with contextlib.closing(EpochLines()) as lines:
            small_vae().fit(images(12), epochs=1, verbose=0, callbacks=[lines])
    assert terminal.getvalue().endswith("\r")


def test_a_loss_that_is_not_the_elbo_is_shown(small_vae, images, capsys):
    vae = small_vae(objective={"class_name": "ELBO", "config": {"beta": 4.0}})
    vae.fit(images(12), verbose=0, callbacks=[EpochLines()])
    assert re.search(r", loss \d+\.\d\d", capsys.readouterr().out)
