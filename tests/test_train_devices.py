"""`train` on several devices and workers, each a process of its own on this machine."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

OPTIONS = "--hidden 8 --latent-dim 2 --batch-size 16 --epochs 3 --export none".split()


@pytest.fixture(scope="module")
def started():
    """Starts trainings, each a process; those that are left are killed."""
    processes = []

    def started(rows, output, *options, **environment):
        command = [sys.executable, "-m", "keras_vae.train", "--dataset", str(rows)]
        process = subprocess.Popen(
            [*command, *OPTIONS, "--output", str(output), *options],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        with process:  # closes its pipes
            process.kill()


def workers(number):
    """TF_CONFIG of each worker, on free ports of this machine."""
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("localhost", 0))
    names = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    for index in range(number):
        task = {"type": "worker", "index": index}
        yield json.dumps({"cluster": {"worker": names}, "task": task})


def history(run):
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return np.array(
        [[float(v) for k, v in row.items() if k != "seconds"] for row in rows]
    )


@pytest.fixture(scope="module")
def alone(started, rows, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "alone"
    process = started(rows, run)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return run


def test_two_devices_end_as_one_does(started, rows, alone, tmp_path):
    process = started(rows, tmp_path / "run", "--devices", "2")
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    np.testing.assert_allclose(history(tmp_path / "run"), history(alone), rtol=1e-4)
    one, two = (
        json.loads((run / "metrics.json").read_text())
        for run in (alone, tmp_path / "run")
    )
    assert two["elbo"] == pytest.approx(one["elbo"], rel=1e-4)
    assert (tmp_path / "run" / "model.keras").is_file()


def test_two_workers_end_as_one_does_and_one_writes(started, rows, alone, tmp_path):
    run = tmp_path / "run"
    both = [started(rows, run, TF_CONFIG=text) for text in workers(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "This worker is done; the first one writes the run." in said[1][0]
    assert f"The run is in {run}." in said[0][0]
    np.testing.assert_allclose(history(run), history(alone), rtol=1e-4)


def test_a_killed_worker_ends_the_other_and_the_run_is_resumed(
    started, rows, alone, tmp_path
):
    run = tmp_path / "run"
    options = ["--worker-timeout", "30"]
    # epochs enough that one is running when the worker is killed
    both = [
        started(rows, run, *options, "--epochs", "2000", TF_CONFIG=text)
        for text in workers(2)
    ]
    end = time.monotonic() + 200
    while not any(run.glob("checkpoints/epoch-0002*")) and time.monotonic() < end:
        time.sleep(0.05)
    both[1].send_signal(signal.SIGKILL)
    both[1].communicate()
    _, errors = both[0].communicate(timeout=90)
    assert both[0].returncode == 7, errors
    assert re.search(
        r"^keras-vae: error: Another worker cannot be reached any more, .* --resume\.$",
        errors,
        re.MULTILINE,
    )
    assert "Traceback" not in errors
    done = len(history(run))
    assert 2 <= done < 2000
    more = "2000"
    both = [
        started(rows, run, "--resume", "--epochs", more, *options, TF_CONFIG=text)
        for text in workers(2)
    ]
    end = time.monotonic() + 200
    while len(history(run)) <= done and time.monotonic() < end:
        time.sleep(0.05)
    for process in both:
        process.send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=90) for process in both]
    assert len(history(run)) > done, said
    np.testing.assert_allclose(history(run)[:3], history(alone), rtol=1e-4)


def test_a_worker_that_is_alone_says_so(started, rows, tmp_path):
    first, _ = workers(2)
    process = started(rows, tmp_path / "run", "--worker-timeout", "3", TF_CONFIG=first)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 7
    assert re.fullmatch(
        r"keras-vae: error: The worker localhost:\d+ of TF_CONFIG did not begin within "
        r"3 s; start all of them at about the same time\.",
        errors.splitlines()[-1],
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--devices", "3"], "make it a multiple of 3"),
        (["--devices", "2", "--objective", "infovae"], "train it on one"),
        (["--devices", "2", "--clip-norm", "1"], "leave clipping and skipping out"),
        (
            ["--devices", "2", "--clip-norm", "1", "--precision", "float16"],
            "leave clipping and skipping out",
        ),
        (["--devices", "-1"], "devices must be"),
    ],
)
def test_what_several_devices_cannot_do_is_one_line(
    started, rows, tmp_path, options, message
):
    process = started(rows, tmp_path / "run", *options)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert message in errors and "Traceback" not in errors
    assert not (tmp_path / "run").exists()
