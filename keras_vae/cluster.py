"""Who trains together: the workers that the environment variable `TF_CONFIG` names.

It has the same list for each of them, and the own place in it, as TensorFlow has it:
https://www.tensorflow.org/guide/distributed_training#TF_CONFIG
"""

import json
import os
import socket
import time

from keras_vae.errors import UsageError, WorkerLostError, shown


def place_in_cluster() -> tuple[int, int]:
    """Which worker this process is, from 0, the chief, and how many there are.

    Returns:
        (0, 1) without `TF_CONFIG`.

    Raises:
        UsageError: If it is not as TensorFlow wants it.
    """
    index, workers = _cluster()
    return index, len(workers)


def wait_for_workers(timeout: float) -> None:
    """Waits until every worker has begun; TensorFlow would wait for ever.

    Each listens where TensorFlow will a moment later, and tries all the others.

    Args:
        timeout: seconds.

    Raises:
        UsageError: If this worker cannot listen at its place.
        WorkerLostError: If another one does not.
    """
    index, workers = _cluster()
    end = time.monotonic() + timeout
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind(("", workers[index][1]))
            own.listen(len(workers))
        except OSError as error:
            raise UsageError(
                f"This worker cannot listen at port {workers[index][1]} "
                f"({error.strerror}); choose another in TF_CONFIG."
            ) from error
        for host, port in workers:
            while not _answers(host, port):
                if time.monotonic() > end:
                    raise WorkerLostError(
                        f"The worker {host}:{port} of TF_CONFIG did not begin within "
                        f"{timeout:g} s; start all of them at about the same time."
                    )
                time.sleep(0.2)


def _answers(host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def _cluster() -> tuple[int, list[tuple[str, int]]]:
    """The own index, and host and port of each worker; one without any."""
    text = os.environ.get("TF_CONFIG", "{}")
    try:
        config = json.loads(text)
        jobs = config.get("cluster", {})
        names = jobs.get("worker", [])
        if len(names) < 2:
            return 0, [("", 0)]
        kind, index = config["task"]["type"], config["task"]["index"]
        if set(jobs) != {"worker"} or kind != "worker":
            raise ValueError("not a worker among workers")
        workers = [
            (host, int(port)) for host, _, port in (n.rpartition(":") for n in names)
        ]
        if index not in range(len(workers)):
            raise ValueError("no such worker")
        return int(index), workers
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UsageError(
            'TF_CONFIG must be {"cluster": {"worker": ["host:port", ...]}, "task": '
            f'{{"type": "worker", "index": 0}}}}; got {shown(text)}.'
        ) from error
