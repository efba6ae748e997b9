"""`python -m export RUN --benchmark`: how large, how exact, how fast, in each runtime.

Each runtime is measured in a process of its own, so that start-up and memory are its
own, too. Speeds are medians of repeated calls; they vary with the machine's load.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from export.parity import max_error
from export.reader import read_bundle
from export.runtimes import RUNTIMES, load_runtime
from export.verify import check_bundle
from keras_vae.errors import ModelError

SECONDS = 1.0  # of repeated calls at each batch size
COLUMNS = {
    "runtime": "runtime",
    "artifact": "artifact",
    "size": "size, kB",
    "error": "max error",
    "single": "images/s at batch 1",
    "many": "images/s at batch 1,024",
    "start": "cold start, s",
    "memory": "peak memory, MB",
}


def benchmark(bundle: Path, trust: bool = False) -> str:
    """Measures every artifact of a bundle in every runtime that is installed.

    Args:
        bundle: folder with a `manifest.json`, or a run folder whose `export` has it.
        trust: whether its formats that can hold code are run, too.

    Returns:
        A Markdown table, and below it what was left out.

    Raises:
        ModelError: if the bundle is damaged, or a runtime fails.
    """
    checked = check_bundle(bundle)
    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "|---" * len(COLUMNS) + "|"]
    left_out = []
    for runtime, row in RUNTIMES.items():
        # Through another process, that process would be measured.
        outside = row.runtimes[runtime].outside
        if row.artifact not in checked.manifest["artifacts"] or outside:
            continue
        if row.program and not trust:
            left_out.append(row.artifact)
            continue
        code = (
            "import sys; from export.benchmark import measure; measure(*sys.argv[1:])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(checked.path), runtime],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            cause = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ModelError(f"{runtime} failed: {cause}")
        row = json.loads(done.stdout.splitlines()[-1])
        if row is not None:  # installed
            lines.append("| " + " | ".join(row[name] for name in COLUMNS) + " |")
    if left_out:
        names = ", ".join(left_out)
        lines.append(f"\nNot run, for they can hold code: {names}. See --trust.")
    return "\n".join(lines)


def measure(bundle: str, runtime: str) -> None:
    """Measures one runtime and prints a JSON object; `null` if it is not installed.

    Args:
        bundle: the bundle's folder.
        runtime: a key of `RUNTIMES`.
    """
    path = Path(bundle) / RUNTIMES[runtime].decoder
    golden = read_bundle(bundle).golden()
    inputs = [golden[name] for name in ("z", "label") if name in golden]
    start = time.perf_counter()
    try:
        decode = load_runtime(runtime).load_decoder(path)
    except ImportError:
        print("null")
        return
    decode(*(x[:1] for x in inputs))
    start = time.perf_counter() - start
    row = {
        "runtime": runtime,
        "artifact": RUNTIMES[runtime].decoder,
        "error": f"{max_error(decode(*inputs), golden['images']):.1e}",
        "single": f"{_speed(decode, inputs, 1):,.0f}",
        "many": f"{_speed(decode, inputs, 1024):,.0f}",
        "start": f"{start:.2f}",
        "size": f"{_size(path) / 1000:,.0f}",
    }
    row["memory"] = f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:,.0f}"
    print(json.dumps(row))


def _speed(decode, inputs, batch):
    inputs = [x[np.arange(batch) % len(x)] for x in inputs]
    decode(*inputs)
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        decode(*inputs)
        times.append(time.perf_counter() - start)
    return batch / np.median(times)


def _size(path):
    folder = path.parent if path.parent.name == "openvino" else path
    files = [folder, *folder.rglob("*")] if folder.is_dir() else [folder]
    return sum(file.stat().st_size for file in files if file.is_file())
