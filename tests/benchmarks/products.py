"""The bare matrix products of the epoch's steps: the floor under every contender.

Eleven products a step: four forward, four for the weights' gradients, three for the
gradients of what lies between. Each step is one call from Python, whose cost is small
beside the products. No loss comes out, so `done` gets none.
"""

import numpy as np

from keras_vae.cli import start_tensorflow
from tests.benchmarks.interleave import bench_extra
from tests.benchmarks.peers import HIDDEN, LATENT


def _step(matmul, x, z, w1, w2, w3, w4):
    """The products of one step; `matmul(a, b, ta, tb)` may transpose either."""
    h = matmul(x, w1, False, False)  # (B, 400)
    p = matmul(h, w2, False, False)  # (B, 40)
    d = matmul(z, w3, False, False)  # (B, 400)
    y = matmul(d, w4, False, False)  # (B, 784)
    e = matmul(y, w4, False, True)  # (B, 400)
    f = matmul(p, w2, False, True)  # (B, 400)
    return (
        matmul(d, y, True, False),
        matmul(z, e, True, False),
        matmul(e, w3, False, True),
        matmul(h, p, True, False),
        matmul(x, f, True, False),
    )


def _run(images, batch_size, done, array, step, finish):
    """Calls `step` for every batch of an epoch, for ever."""
    pixels = images[0].size
    shapes = [
        (batch_size, pixels),
        (batch_size, LATENT),
        (pixels, HIDDEN),
        (HIDDEN, 2 * LATENT),
        (LATENT, HIDDEN),
        (HIDDEN, pixels),
    ]
    random = np.random.default_rng(0)
    operands = [array(0.1 * random.standard_normal(s, np.float32)) for s in shapes]
    done()
    while True:
        for _ in range(-(-len(images) // batch_size)):
            gradients = step(*operands)
        finish(gradients)
        done()


def numpy_products(images, batch_size, done):
    """NumPy, through its BLAS."""

    def matmul(a, b, ta, tb):
        return (a.T if ta else a) @ (b.T if tb else b)

    def step(*operands):
        return _step(matmul, *operands)

    _run(images, batch_size, done, np.asarray, step, lambda gradients: None)


def tensorflow_products(images, batch_size, done):
    """TensorFlow's graph mode, through oneDNN."""
    start_tensorflow()
    import tensorflow as tf

    @tf.function
    def step(*operands):
        return _step(tf.linalg.matmul, *operands)

    _run(
        images,
        batch_size,
        done,
        tf.constant,
        step,
        lambda gradients: gradients[-1].numpy(),
    )


def torch_products(images, batch_size, done):
    """PyTorch, through its BLAS."""
    torch = bench_extra("torch")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def matmul(a, b, ta, tb):
        return (a.T if ta else a) @ (b.T if tb else b)

    @torch.inference_mode()
    def step(*operands):
        return _step(matmul, *operands)

    def array(values):
        return torch.from_numpy(values).to(device)

    _run(
        images,
        batch_size,
        done,
        array,
        step,
        lambda gradients: gradients[-1].sum().item(),
    )


def xla_products(images, batch_size, done):
    """XLA, called through JAX."""
    jax = bench_extra("jax")

    def matmul(a, b, ta, tb):
        return (a.T if ta else a) @ (b.T if tb else b)

    @jax.jit
    def step(*operands):
        return _step(matmul, *operands)

    _run(images, batch_size, done, jax.device_put, step, jax.block_until_ready)
