"""Many training steps in one compiled call.

Keras calls `train_function` once for `steps_per_execution` batches, and compiles the
step. Most of the time then goes by between the steps: for the textbook model a step's
arithmetic takes a few milliseconds, and starting its operations about as long again.
Here the *loop* over the steps is one XLA program. One batch is still one optimizer
step, and `train_step` stays the plain one-step method.

The program takes a slice, K batches stacked (`keras_vae.data.pipeline`), and how many
of them to run. That number is known only when it runs, so that one compilation serves
full and partial slices, and running zero steps compiles without training. The loop ends
before its time after a step whose loss is not finite.
"""

import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import tree

# of one call at most, so that the progress bar moves several times a second
AIM_SECONDS = 1 / 3
MAX_BYTES = 64 * 2**20  # of a slice


class FusedFunction:
    """Runs the steps of one slice.

    A drop-in for `keras.Model.train_function` and `test_function` where the iterator
    gives slices. The loop is compiled by XLA if `model.jit_compile`. If XLA cannot
    compile it, a warning says so once and the loop runs as a TensorFlow graph.

    Args:
        model: the `keras.Model` whose metrics the steps update.
        step: `model.train_step` or `model.test_step`.

    Attributes:
        compile_seconds: float, spent on compiling so far.
        steps: int32 (), done by the last call: fewer than the slice holds if the loss,
            over the steps since the metrics were reset, became NaN or infinite.
    """

    def __init__(self, model, step):
        self.model = model
        self.step = step
        self.compile_seconds = 0.0
        self.steps: Any = 0
        self._run: Callable | None = None
        self._spec = None

    def __call__(self, iterator):
        """Takes the next slice; returns the metrics.

        Raises:
            StopIteration: if the iterator has no slice left.
        """
        number, batches = next(iterator)
        if self._run is None or self._spec != iterator.element_spec:
            self._run = self._built(batches)
            self._spec = iterator.element_spec
        self.steps, metrics = self._run(number, batches)
        return metrics

    def _built(self, batches) -> Callable:
        """The program for batches of this shape, compiled."""
        start = time.perf_counter()
        run = self._program(self.model.jit_compile)
        try:
            run(tf.constant(0), batches)
        except (
            tf.errors.InvalidArgumentError,
            tf.errors.UnimplementedError,
            tf.errors.InternalError,
        ) as error:
            if not self.model.jit_compile:
                raise
            reason = str(error.message).splitlines()[0]
            warnings.warn(
                "XLA cannot compile this model, so its steps run one operation at a "
                f"time and slower: {reason}",
                stacklevel=2,
            )
            self.model.jit_compile = False
            run = self._program(False)
            run(tf.constant(0), batches)
        self.compile_seconds += time.perf_counter() - start
        return run

    def _program(self, jit_compile):
        def run(number, batches):
            def body(index, _):
                self.step(tree.map_structure(lambda stack: stack[index], batches))
                loss = self.model.get_metrics_result().get("loss", 0.0)
                return index + 1, tf.math.is_finite(loss)

            steps, _ = tf.while_loop(
                lambda index, finite: finite & (index < number),
                body,
                (tf.constant(0), tf.constant(True)),
            )
            return steps, self.model.get_metrics_result()

        return tf.function(run, jit_compile=jit_compile, autograph=False)


def automatic_steps(model, element_spec, steps: int | None) -> int:
    """How many steps of `model` make one call of a third of a second at most.

    Times the forward pass of one batch, and takes a step for three of them. That is an
    upper estimate: XLA compiles the step, but not this pass.

    Args:
        model: a `VAE`.
        element_spec: of the batches: (images, labels, weight), static shapes.
        steps: in an epoch; None if there is no end.

    Returns:
        int >= 1, such that the calls of an epoch are about equally long; bounded so
        that a slice stays below 64 MiB.
    """
    images, labels, _ = (tf.zeros(spec.shape, spec.dtype) for spec in element_spec)
    inputs = images if model.num_classes is None else [images, labels]
    forward = tf.function(lambda: model(inputs), autograph=False)
    forward()
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        forward().numpy()
        seconds.append(time.perf_counter() - start)
    batch_bytes = sum(
        spec.shape.num_elements() * spec.dtype.size for spec in element_spec
    )
    most = max(1, min(int(AIM_SECONDS / (3 * min(seconds))), MAX_BYTES // batch_bytes))
    return most if steps is None else math.ceil(steps / math.ceil(steps / most))
