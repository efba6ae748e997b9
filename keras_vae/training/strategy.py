"""Several devices: which strategies train a model, and the steps on all replicas.

A model made in `strategy.scope()` is trained on the strategy's devices. Batches stay
those of the user, the global ones; each replica gets equal parts of them. What a step
must know of the other replicas is in `keras_vae.replicas`.

A collective cannot stand in an XLA program here, so the steps are not fused: each one
is a call of a TensorFlow graph.
"""

import contextlib

import keras
import tensorflow as tf

from keras_vae.data.pipeline import rows_of_replicas
from keras_vae.errors import UsageError, WorkerLostError
from keras_vae.training.devices import has_workers
from keras_vae.training.skipping import Skipping

LOST = (  # what a collective says where another worker has ended
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def is_replicated(model) -> bool:
    """Whether a model was made for several devices.

    Args:
        model: an `ImageModel`.

    Raises:
        UsageError: If it cannot be trained where it is: in the scope of a strategy but
            made outside of it, or with an objective or an optimizer that needs the
            whole batch on one device.
    """
    strategy = model.strategy
    if tf.distribute.has_strategy() and tf.distribute.get_strategy() is not strategy:
        raise UsageError(
            f"The model was made outside of this {_name(tf.distribute.get_strategy())}"
            "; build and compile it inside of strategy.scope(), or fit it outside."
        )
    if type(strategy) is _ONE_DEVICE:
        return False
    if strategy.num_replicas_in_sync > 1 and model.couples_images:
        raise UsageError(
            "This objective looks at all images of a batch together, which "
            f"{strategy.num_replicas_in_sync} devices cannot; train it on one, or take "
            "another."
        )
    optimizer = model.optimizer
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    clips = optimizer.clipnorm or optimizer.global_clipnorm or optimizer.clipvalue
    clips = clips or isinstance(optimizer, Skipping)
    if strategy.num_replicas_in_sync > 1 and clips:
        raise UsageError(
            "Keras clips the gradient of each device by itself, which is not that of "
            "the batch; leave clipping and skipping out, or train on one device."
        )
    return True


def check_parts(model) -> None:
    """Refuses a strategy of another kind, and networks made outside of its scope.

    Raises:
        UsageError: If the model cannot be compiled so.
    """
    strategy = model.strategy
    if not isinstance(strategy, (_ONE_DEVICE, *_SUPPORTED)):
        raise UsageError(
            f"Training under {_name(strategy)} is not supported; use MirroredStrategy "
            "or MultiWorkerMirroredStrategy, or one device."
        )
    divided = tf.distribute.DistributedValues
    inside = all(isinstance(weight.value, divided) for weight in model.weights)
    if type(strategy) is not _ONE_DEVICE and not inside:
        raise UsageError(
            "The networks were made outside of strategy.scope(); make them inside, or "
            "copies with keras.models.clone_model."
        )


def distributed(strategy, batches: tf.data.Dataset, batch_size: int):
    """Global batches as each worker's replicas take them.

    Args:
        strategy: a `tf.distribute.Strategy`.
        batches: of one shape, in the same order on each worker.
        batch_size: of theirs.

    Raises:
        UsageError: If the replicas do not divide it.
    """
    check_divides(strategy, batch_size)
    replicas = strategy.num_replicas_in_sync

    def of_worker(context):
        number = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * number
        return rows_of_replicas(batches, replicas, first, number)

    return strategy.distribute_datasets_from_function(of_worker)


def check_divides(strategy, batch_size: int) -> None:
    """Refuses a batch of which the replicas cannot have equal parts."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UsageError(
            f"A batch of {batch_size} images cannot be divided among {replicas} "
            f"devices; make it a multiple of {replicas}."
        )


@contextlib.contextmanager
def together(strategy):
    """Around what several workers do together: says so if one of them has ended.

    Raises:
        WorkerLostError: instead of what TensorFlow says then.
    """
    try:
        yield
    except LOST as error:
        if not has_workers(strategy):
            raise
        raise WorkerLostError(
            "Another worker cannot be reached any more, so this one ends, too; start "
            "all of them again, with --resume."
        ) from error


class ReplicatedFunction:
    """One step on every replica; a drop-in for `keras.Model.train_function`.

    Keras's own reduces the replicas' logs, which fails for several workers. Metrics
    need no such thing: read outside of the replicas they are sums over all of them.

    Args:
        model: a `keras.Model` made in a strategy's scope.
        step: `model.train_step` or `model.test_step`.
    """

    def __init__(self, model, step):
        strategy = model.strategy

        def run(batch):
            strategy.run(step, args=(batch,))
            return model.get_metrics_result()

        self._run = tf.function(run, autograph=False)

    def __call__(self, iterator):
        """Takes the next batch; returns the metrics."""
        return self._run(next(iterator))


def _name(strategy):
    return type(strategy).__name__.removesuffix("V1")


_ONE_DEVICE = type(tf.distribute.get_strategy())  # TensorFlow's default strategy
_SUPPORTED = (
    tf.distribute.MirroredStrategy,
    tf.distribute.MultiWorkerMirroredStrategy,
)
