"""A training that is killed, however often and wherever, ends with the same bits."""

import csv
import hashlib
import io
import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np

from keras_vae import train
from keras_vae.errors import ModelError
from keras_vae.runs.folder import RunFolder
from keras_vae.training import state
from keras_vae.training.checkpoints import Checkpoint
from tests.faults import models, processes
from tests.faults.tally import Tally

KILLS = 200
SIGNALS = 10  # of each kind
MUST = "resumed until done: the weights, slots, noise, history and metrics of one go"
CASES = {  # options of `train`, beside those that all have
    "mlp": "--checkpoint-every 1 epochs",
    "mlp, in the middle of an epoch": "--checkpoint-every 4 steps",
    "warm-up, dynamic binarization, cosine decay": (
        "--checkpoint-every 4 steps --kl-warmup 3 --binarization dynamic --cosine-decay"
    ),
    "conditional, VampPrior": (
        "--checkpoint-every 4 steps --conditional --prior vampprior --num-components 5"
    ),
    "conv, muon": (
        "--checkpoint-every 4 steps --network conv --hidden 4 --optimizer muon"
    ),
    "stock loop": "--checkpoint-every 4 steps --fused-steps 1",
    "iwae, iaf": (
        "--checkpoint-every 4 steps --objective iwae --num-samples 3 --posterior iaf"
    ),
}
COMMON = "--epochs 6 --batch-size 4 --latent-dim 3 --validation-images 10 --export none"


def full(seed: int):
    """Two hundred kills over the cases, and ten of each signal."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images.npz"
        models.write_images(data, (8, 8))
        kills = Tally("SIGKILL anywhere in `train`", MUST)
        share = -(-KILLS // len(CASES))
        for name in CASES:
            killed(name, data, Path(folder), share, rng, kills)
        kills.note = f"{len(CASES)} cases"
        yield kills
        for number in (signal.SIGINT, signal.SIGTERM):
            tally = Tally(f"{number.name} in `train`", f"{MUST}; {128 + number} each")
            name = "mlp, in the middle of an epoch"
            killed(name, data, Path(folder), SIGNALS, rng, tally, number)
            yield tally


def killed(name, data, folder, number, rng, tally, sign=signal.SIGKILL) -> None:
    """Counts kills of runs of a case, until there were enough.

    Args:
        name: Of `CASES`.
        data: The images.
        folder: Where to write runs.
        number: How many kills.
        rng: NumPy's `Generator`.
        tally: Takes a count for each kill; what is wrong with a run's end is counted
            with its last one.
        sign: The signal.
    """
    whole = Path(tempfile.mkdtemp(dir=folder)) / "run"
    start = time.monotonic()
    process = processes.start(command, name, data, whole, False)
    process.join()
    seconds = time.monotonic() - start
    expected = end_of(whole)
    done = 0
    while done < number:
        run = Path(tempfile.mkdtemp(dir=folder)) / "run"
        failure = None
        for tries in range(40):
            process = processes.start(command, name, data, run, tries > 0)
            process.join(rng.uniform(0, 1.1) * seconds if done < number else None)
            if process.exitcode is None:
                os.kill(process.pid, sign)
            process.join()
            if process.exitcode == 0:
                break
            status = -sign if sign == signal.SIGKILL else 128 + sign
            if process.exitcode not in (status, -sign):
                failure = f"{name}: exit status {process.exitcode}"
                break
            done += 1
            tally.count(None)
        else:
            failure = f"{name}: not done after {tries} tries"
        if failure is None and end_of(run) != expected:
            failure = f"{name}: it ended otherwise after {tries} kills"
        if failure:
            tally.failures.append(failure)
            return


def command(name, data, run, resume):
    """`train`, or `train --resume` where a run was begun, in a process of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    arguments = f"{COMMON} {CASES[name]} --dataset {data} --output {run}".split()
    if resume and (run / "config.json").is_file():
        arguments.append("--resume")
    elif run.is_dir():
        arguments.append("--overwrite")
    os._exit(train.main(arguments))


def end_of(path: Path) -> dict:
    """What a run has come to."""
    run = RunFolder(path)
    newest = Checkpoint(run.checkpoints).generations()[0]
    try:
        arrays, facts = state.read(newest)
    except ModelError as error:
        return {"checkpoint": str(error)}
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(array.tobytes())
    rows = list(csv.DictReader(io.StringIO(run.history.read_text())))
    for row in rows:
        del row["seconds"]
    others = sorted(set(os.listdir(path)) | {p.name for p in run.samples.iterdir()})
    return {
        "state": digest.hexdigest(),
        "place": (facts["epoch"], facts["step"]),
        "history": rows,
        "metrics": run.metrics.read_text(),
        "best": state.read(run.best)[1],
        "files": others,
    }
