"""Processes to kill: each starts with TensorFlow and keras_vae loaded, in no time."""

import multiprocessing
import os
import signal

# what starts the processes is started once, with this environment
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["tensorflow", "keras", "tf2onnx", "onnxruntime", "keras_vae.train", "export"]
    + ["keras_vae.runs.trained", "export.to_onnx", "tests.faults.commands"]
)


def start(function, *args) -> multiprocessing.Process:
    """Runs `function(*args)` in a new process; both must be picklable."""
    process = CONTEXT.Process(target=function, args=args, daemon=True)
    process.start()
    return process


def kill_after(process: multiprocessing.Process, seconds: float) -> bool:
    """Kills a process (SIGKILL) unless it has ended by then; whether it was killed."""
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL
