"""Many training steps in one compiled call.

Keras calls `train_function` once for `steps_per_execution` batches, and compiles the
step. Most of the time then goes by between the steps: for the textbook model a step's
arithmetic takes a few milliseconds, and starting its operations about as long again.
Here the *loop* over the steps is one XLA program. One batch is still one optimiser
step, and `train_step` stays the plain one-step method.

The program takes K batches stacked, and how many of them to run. That number is known
only when it runs, so that one compilation serves full and partial slices, and running
zero steps compiles without training.
"""

import time
import warnings

import tensorflow as tf
from keras import tree

AIM_SECONDS = 0.2  # of one call, so that the progress bar moves several times a second
MAX_BYTES = 64 * 2**20  # of the stacked batches


class FusedFunction:
    """Runs up to K steps on the next batches of an iterator.

    A drop-in for `keras.Model.train_function` and `test_function`.

    Args:
        model: the `keras.Model` whose metrics the steps update.
        step: `model.train_step` or `model.test_step`.

    The loop is compiled by XLA if `model.jit_compile`. If XLA cannot compile it, a
    warning says so once and the loop runs as an ordinary TensorFlow graph.
    """

    def __init__(self, model, step):
        self.model = model
        self.step = step
        self.compile_seconds = 0.0
        self._run = None
        self._specs = None

    def __call__(self, iterator):
        """Takes up to `model.steps_per_execution` batches; returns the metrics.

        Raises:
            StopIteration: if the iterator has no batch left.
        """
        specs = (iterator.element_spec, self.model.steps_per_execution)
        if self._specs != specs:
            self._build(*specs)
        number, batches = self._collect(iterator)
        if not number:
            raise StopIteration
        return self._run(number, batches)

    def _build(self, element_spec, num_steps):
        start = time.perf_counter()
        self._collect = tf.function(lambda iterator: _collect(iterator, num_steps))
        nothing = tree.map_structure(
            lambda spec: tf.zeros((num_steps, *spec.shape), spec.dtype), element_spec
        )
        self._run = self._program(self.model.jit_compile)
        try:
            self._run(tf.constant(0), nothing)
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
            self._run = self._program(False)
            self._run(tf.constant(0), nothing)
        self._specs = (element_spec, num_steps)
        self.compile_seconds += time.perf_counter() - start

    def _program(self, jit_compile):
        def run(number, batches):
            def body(index):
                self.step(tree.map_structure(lambda stack: stack[index], batches))
                return (index + 1,)

            tf.while_loop(lambda index: index < number, body, (tf.constant(0),))
            return self.model.get_metrics_result()

        return tf.function(run, jit_compile=jit_compile, autograph=False)


def _collect(iterator, num_steps):
    """The next batches, stacked: their number, and (num_steps, B, ...) tensors."""
    spec = iterator.element_spec
    stacks = [
        tf.TensorArray(part.dtype, num_steps, element_shape=part.shape)
        for part in tree.flatten(spec)
    ]

    def body(index, more, stacks):
        following = iterator.get_next_as_optional()
        more = following.has_value()

        def write():
            parts = tree.flatten(following.get_value())
            return [
                stack.write(index, part)
                for stack, part in zip(stacks, parts, strict=True)
            ]

        stacks = tf.cond(more, write, lambda: stacks)
        return index + tf.cast(more, tf.int32), more, stacks

    number, _, stacks = tf.while_loop(
        lambda index, more, stacks: (index < num_steps) & more,
        body,
        (tf.constant(0), tf.constant(True), stacks),
    )
    stacked = [
        tf.ensure_shape(stack.stack(), (num_steps, *part.shape))
        for stack, part in zip(stacks, tree.flatten(spec), strict=True)
    ]
    return number, tree.pack_sequence_as(spec, stacked)


def automatic_steps(model, element_spec) -> int:
    """How many steps of `model` make one call of about 0.2 seconds.

    Times the forward pass of one batch, uncompiled, and takes a step for three of them.

    Args:
        model: a `VAE`.
        element_spec: of the batches: (images, labels, weight), static shapes.

    Returns:
        int >= 1; bounded so that the stacked batches stay below 64 MiB.
    """
    images, labels, _ = (tf.zeros(spec.shape, spec.dtype) for spec in element_spec)
    inputs = images if model.num_classes is None else [images, labels]
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        model(inputs).numpy()
        seconds.append(time.perf_counter() - start)
    batch_bytes = sum(
        spec.shape.num_elements() * spec.dtype.size
        for spec in tree.flatten(element_spec)
    )
    return max(1, min(int(AIM_SECONDS / (3 * min(seconds))), MAX_BYTES // batch_bytes))
