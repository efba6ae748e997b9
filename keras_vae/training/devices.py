"""Which devices a command trains on: one, several of this machine, or of several."""

from typing import Any

import tensorflow as tf

from keras_vae.cluster import place_in_cluster, wait_for_workers
from keras_vae.errors import UsageError


def chosen_strategy(devices: int, timeout: int) -> tf.distribute.Strategy | None:
    """The strategy to make and train a model in.

    Args:
        devices: int, of this machine: GPUs, or where there are none, parts of the CPU,
            to try what several do; 0 is all GPUs.
        timeout: int, seconds to wait for other workers.

    Returns:
        None for one device. With several workers in `TF_CONFIG` a strategy of them all;
        TensorFlow must not have run anything before.

    Raises:
        UsageError: If there are not so many devices, or `TF_CONFIG` cannot be used.
        WorkerLostError: If another worker does not begin.
    """
    _, workers = place_in_cluster()
    if workers > 1:
        return _of_workers(workers, timeout)
    if gpus := tf.config.list_physical_devices("GPU"):
        number = devices or len(gpus)
        if number > len(gpus):
            raise UsageError(f"There are {len(gpus)} GPUs, not {number}.")
        names = [f"GPU:{index}" for index in range(number)]
        return tf.distribute.MirroredStrategy(names) if number > 1 else None
    if devices <= 1:
        return None
    try:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * devices,
        )
    except RuntimeError as error:
        raise UsageError(
            f"TensorFlow has begun with another number of devices than {devices}; "
            "start a new process."
        ) from error
    # the default needs NCCL, which knows GPUs alone
    return tf.distribute.MirroredStrategy(
        [f"CPU:{index}" for index in range(devices)],
        tf.distribute.ReductionToOneDevice(),
    )


def is_chief(strategy: Any) -> bool:
    """Whether this process writes the files: the first worker, or the only one."""
    return not has_workers(strategy) or strategy.cluster_resolver.task_id == 0


def has_workers(strategy: Any) -> bool:
    """Whether other processes take part."""
    resolver = None if strategy is None else strategy.cluster_resolver
    return resolver is not None and bool(resolver.task_type)


def _of_workers(number, timeout):
    print(f"Waiting for {number} workers, {timeout} s at most.", flush=True)
    wait_for_workers(timeout)
    return tf.distribute.MultiWorkerMirroredStrategy(
        communication_options=tf.distribute.experimental.CommunicationOptions(
            timeout_seconds=timeout
        )
    )
