import keras
import numpy as np
import pytest

from keras_vae.training.optimizers import OPTIMIZERS, adam, muon


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_take_a_number_or_a_schedule(name):
    assert float(OPTIMIZERS[name](0.25).learning_rate) == 0.25
    schedule = keras.optimizers.schedules.CosineDecay(0.5, 10)
    optimizer = OPTIMIZERS[name](schedule)
    optimizer.build([keras.Variable(np.ones((2, 2), "f"))])
    assert float(optimizer.learning_rate) == 0.5
    optimizer.iterations.assign(10)
    assert float(optimizer.learning_rate) == pytest.approx(0, abs=1e-7)


def test_adam_is_that_of_the_paper():
    """The first steps of Kingma & Ba (2015), algorithm 1, with Keras's epsilon."""
    weight, optimizer = keras.Variable(np.float32([1.0, -2.0])), adam(0.1)
    expected, m, v = np.array([1.0, -2.0]), 0.0, 0.0
    for step, gradient in enumerate([[0.5, -1.0], [0.25, 2.0]], 1):
        gradient = np.array(gradient)
        optimizer.apply([keras.ops.convert_to_tensor(np.float32(gradient))], [weight])
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        scale = np.sqrt(v / (1 - 0.999**step)) + 1e-7
        expected = expected - 0.1 * m / (1 - 0.9**step) / scale
    np.testing.assert_allclose(weight, expected, rtol=1e-5)


def test_muon_moves_matrices_along_every_direction_alike():
    generator = np.random.default_rng(0)
    left, _ = np.linalg.qr(generator.normal(size=(6, 4)))
    right, _ = np.linalg.qr(generator.normal(size=(4, 4)))
    gradient = np.float32(left @ np.diag([8.0, 4.0, 2.0, 1.0]) @ right)
    weight, optimizer = keras.Variable(np.zeros((6, 4), "f"), name="kernel"), muon(1.0)
    optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
    values = np.linalg.svd(np.array(weight), compute_uv=False)
    # three Newton-Schulz steps bring values of 1 to 8 within a factor of 2
    assert values.max() / values.min() < 2
    bias = keras.Variable(np.zeros(3, "f"), name="bias")
    optimizer = muon(0.1)
    optimizer.apply([keras.ops.ones(3)], [bias])
    np.testing.assert_allclose(bias, -0.1 * np.ones(3), rtol=1e-5)  # Adam's first step


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_leave_weights_without_a_gradient_in_place(name):
    """No weight decay: 0 as a gradient moves nothing."""
    weight = keras.Variable(np.ones((3, 3), "f"), name="kernel")
    OPTIMIZERS[name](0.1).apply([keras.ops.zeros((3, 3))], [weight])
    np.testing.assert_allclose(weight, np.ones((3, 3)), atol=1e-6)
