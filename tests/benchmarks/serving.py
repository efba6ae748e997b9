"""`python -m tests.benchmarks.serving`: images a second over HTTP, and how late.

A server of `python -m export serve` is asked for images in every way there is, beside
ONNX Runtime called in Python; all in processes of their own, in turn. The time of each
request gives the latency's percentiles. To add a contender: a row in `CONTENDERS`.
"""

import concurrent.futures
import contextlib
import dataclasses
import http.client
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from keras_vae.cli import command
from keras_vae.errors import whole_number
from keras_vae.generate import ExportedDecoder
from tests.benchmarks.generation import train_classic
from tests.benchmarks.interleave import (
    Contender,
    paired_ratio,
    print_table,
    spread,
    summary,
    write_report,
)

SECONDS = 1.0  # of requests, in a round


@dataclasses.dataclass(frozen=True)
class ServingConfig:
    """Images per second of a server, and the latency of a request."""

    run: Path | None = None
    """A run folder; by default the classic model, trained for an epoch on digits."""
    num_images: tuple[int, ...] = (1, 64)
    """Images in a request."""
    rounds: int = 5
    """Measurements of each."""
    clients: int = 4
    """That ask at the same time, where there are several."""
    output: Path | None = None
    """A JSON file to write."""


def bare(run, port, clients, done):
    """ONNX Runtime in this process, without a server."""
    decoder, latents = ExportedDecoder(run), {}

    def ask(number):
        if number not in latents:
            latents[number] = decoder.draw(0, number)
        decoder.decode(latents[number])

    _measured(lambda: contextlib.nullcontext(ask), 1, done)


def picture(run, port, clients, done):
    """`GET /images.png`: noise, images and PNG."""
    _measured(lambda: _client(port, _picture), 1, done)


def arrays(run, port, clients, done):
    """`POST /decode`, NumPy files there and back."""
    _measured(lambda: _client(port, _arrays(run)), 1, done)


def arrays_of_several(run, port, clients, done):
    """The same from several clients."""
    _measured(lambda: _client(port, _arrays(run)), clients, done)


def text(run, port, clients, done):
    """`POST /decode`, JSON there and back."""
    _measured(lambda: _client(port, _text(run)), 1, done)


def _picture(number):
    return "GET", f"/images.png?num_images={number}", None, {}


def _arrays(run):
    decoder = ExportedDecoder(run)

    def request(number):
        np.save(file := io.BytesIO(), decoder.draw(0, number))
        return "POST", "/decode", file.getvalue(), {"Accept": "application/x-npy"}

    return request


def _text(run):
    decoder = ExportedDecoder(run)

    def request(number):
        body = json.dumps({"z": decoder.draw(0, number).tolist()})
        return "POST", "/decode", body, {}

    return request


@contextlib.contextmanager
def _client(port, request):
    """A client with one connection; gives `ask(number)`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    requests = {}

    def ask(number):
        if number not in requests:
            requests[number] = request(number)
        connection.request(*requests[number])
        reply = connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise ValueError(f"{reply.status} {body[:200]}")

    with contextlib.closing(connection):
        yield ask


def _measured(client, clients, done):
    """Seconds of each request of a round, from clients that ask without a pause."""

    def asks(ask, number):
        latencies, end = [], time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            start = time.perf_counter()
            ask(number)
            latencies.append(time.perf_counter() - start)
        return latencies

    with (
        contextlib.ExitStack() as stack,
        concurrent.futures.ThreadPoolExecutor(clients) as threads,
    ):
        connected = [stack.enter_context(client()) for _ in range(clients)]
        number = done()
        while True:
            some = threads.map(asks, connected, clients * [number])
            number = done([latency for each in some for latency in each])


@contextlib.contextmanager
def _server(run):
    """A server in a process of its own; gives its port."""
    command = [sys.executable, "-m", "export", "serve", str(run)]
    options = ["--port", "0", "--rate", "0"]
    with subprocess.Popen(
        command + options, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            found = re.search(r":(\d+) until", process.stdout.readline())
            yield int(found[1])
        finally:
            process.terminate()
            process.communicate()


def benchmark(config: ServingConfig) -> None:
    """Runs and prints the benchmark."""
    for name in ("rounds", "clients"):
        whole_number(name, getattr(config, name))
    for number in config.num_images:
        whole_number("num_images", number, maximum=1024)
    with tempfile.TemporaryDirectory() as folder:
        run = config.run or train_classic(Path(folder) / "run")
        with _server(run) as port:
            pieces = _pieces(config, run, port)
    rows = [["contender", "images in a request", "images/s", "bare / it", "p50", "p99"]]
    report = {}
    for number, of in pieces.items():
        speeds = {
            name: [number * len(piece.result) / piece.seconds for piece in some]
            for name, some in of.items()
        }
        for name, some in of.items():
            times = 1000 * np.concatenate([piece.result for piece in some])
            late = np.percentile(times, (50, 99))
            ratio = paired_ratio(speeds["bare"], speeds[name])
            rows.append([name, str(number), spread(summary(speeds[name]), 0)])
            rows[-1] += [spread(ratio, 1), *(f"{x:.2f} ms" for x in late)]
            report[f"{name}, {number}"] = {
                "images_per_second": summary(speeds[name]),
                "bare_over_it": ratio,
                "latency_ms": {"p50": late[0], "p99": late[1], "requests": len(times)},
            }
    print_table(rows)
    write_report(config.output, config, contenders=report)


def _pieces(config, run, port):
    """By images in a request and contender: a piece of work for each round."""
    contenders = {
        name: Contender(function, run, port, config.clients)
        for name, function in CONTENDERS.items()
    }
    pieces = {}
    for number in config.num_images:
        pieces[number] = {name: [] for name in contenders}
        for contender in contenders.values():
            contender.work(number)
        for _ in range(config.rounds):
            for name, contender in contenders.items():
                pieces[number][name].append(contender.work(number))
    for contender in contenders.values():
        contender.close()
    return pieces


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(
        benchmark, ServingConfig, argv, prog="python -m tests.benchmarks.serving"
    )


# name: function of (run, port, clients, done)
CONTENDERS = {
    "bare": bare,
    "images.png": picture,
    "decode, npy": arrays,
    "decode, npy, several clients": arrays_of_several,
    "decode, json": text,
}

if __name__ == "__main__":
    sys.exit(main())
