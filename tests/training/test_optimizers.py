import keras
import numpy as np
import pytest

from keras_vae.errors import UsageError
from keras_vae.training.optimizers import OPTIMIZERS, adam, muon, schedule


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_take_a_number_or_a_schedule(name):
    assert float(OPTIMIZERS[name](0.25).learning_rate) == 0.25
    schedule = keras.optimizers.schedules.CosineDecay(0.5, 10)
    optimizer = OPTIMIZERS[name](schedule)
    optimizer.build([keras.Variable(np.ones((2, 2), "f"))])
    assert float(optimizer.learning_rate) == 0.5
    optimizer.iterations.assign(10)
    assert float(optimizer.learning_rate) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("clip_norm", [None, 0.75])
def test_adam_is_that_of_the_paper(clip_norm):
    """The first steps of Kingma & Ba (2015), algorithm 1, with Keras's epsilon.

    Clipped, gradients that are longer than the norm have its length (Pascanu et al.
    2013, algorithm 1), all weights taken together.
    """
    first, second = (keras.Variable(np.float32([x])) for x in (1.0, -2.0))
    optimizer = adam(0.1, clip_norm)
    expected, m, v = np.array([1.0, -2.0]), 0.0, 0.0
    for step, gradient in enumerate([[0.5, -1.0], [0.25, 0.5]], 1):
        gradient = np.array(gradient)
        parts = [keras.ops.convert_to_tensor(np.float32([x])) for x in gradient]
        optimizer.apply(parts, [first, second])
        if clip_norm:  # the second is short enough
            gradient = gradient * min(1, clip_norm / np.linalg.norm(gradient))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        scale = np.sqrt(v / (1 - 0.999**step)) + 1e-7
        expected = expected - 0.1 * m / (1 - 0.9**step) / scale
    found = np.concatenate([first, second])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_averages_of_the_weights_are_kept_beside_them(name):
    weight = keras.Variable(np.float32([1.0, -2.0]), name="bias")
    plain = keras.Variable(np.float32([1.0, -2.0]), name="bias")
    optimizer, without = OPTIMIZERS[name](0.1, ema=0.75), OPTIMIZERS[name](0.1)
    average = None
    for gradient in ([0.5, -1.0], [0.25, 2.0], [-1.0, 1.0]):
        gradient = keras.ops.convert_to_tensor(np.float32(gradient))
        optimizer.apply([gradient], [weight])
        without.apply([gradient], [plain])
        now = np.array(weight)
        average = now if average is None else 0.75 * average + 0.25 * now
    np.testing.assert_array_equal(weight, plain)
    optimizer.finalize_variable_values([weight])
    np.testing.assert_allclose(weight, average, rtol=1e-6)  # sums in float32


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip_norm": 0.0}, "clip_norm must be a number > 0. Got 0"),
        ({"clip_norm": -1}, "clip_norm must be a number >= 0"),
        ({"skip_norm": 0.0}, "skip_norm must be a number > 0. Got 0"),
        ({"ema": 0}, "ema must be a number between 0 and 1. Got 0"),
        ({"ema": 1.0}, "ema must be a number between 0 and 1"),
        ({"ema": 1.5}, "ema must be a number <= 1"),
    ],
)
def test_numbers_out_of_their_range_are_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        OPTIMIZERS[name](0.1, **options)


@pytest.mark.parametrize("warmup", [0, 4])
@pytest.mark.parametrize("decay", [None, 12])
def test_a_schedule_rises_and_falls(warmup, decay):
    steps = np.arange(14)
    expected = np.full(14, 0.5)
    if decay:
        done = np.clip((steps - warmup) / (decay - warmup), 0, 1)
        expected = 0.5 * (1 + np.cos(np.pi * done)) / 2
    expected = np.where(steps < warmup, 0.5 * steps / max(warmup, 1), expected)
    rate = schedule(0.5, warmup, decay)
    found = [rate(step) if callable(rate) else rate for step in steps]
    np.testing.assert_allclose(found, expected, atol=1e-7)


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


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_shrinks_kernels_alone(name):
    start = np.float32([[1.0, -2.0], [3.0, 0.5]])
    names = ("kernel", "bias", "pseudo_input_logits")
    with keras.name_scope("log_var"):  # a layer may be called as what is left out
        weights = [keras.Variable(start, name=each) for each in names]
    optimizer = OPTIMIZERS[name](0.1, weight_decay=0.5)
    optimizer.apply([keras.ops.zeros((2, 2))] * 3, weights)
    np.testing.assert_allclose(weights[0], (1 - 0.1 * 0.5) * start, rtol=1e-6)
    for weight in weights[1:]:
        np.testing.assert_allclose(weight, start, rtol=1e-6)
    with pytest.raises(UsageError, match="weight_decay must be a number >= 0"):
        OPTIMIZERS[name](0.1, weight_decay=-1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_with_a_longer_gradient_are_skipped(name):
    """As without them, but that they count: the learning rate goes on."""
    gradients = np.float32([[0.5, -1.0], [30.0, 40.0], [0.25, 2.0]])
    found = []
    for skip_norm, wanted in ((49.9, [0, 2]), (50.1, [0, 1, 2])):
        weight = keras.Variable(np.float32([1.0, -2.0]), name="bias")
        plain = keras.Variable(np.float32([1.0, -2.0]), name="bias")
        rate = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.2])
        optimizer = OPTIMIZERS[name](rate, ema=0.75, skip_norm=skip_norm)
        without = OPTIMIZERS[name](rate, ema=0.75)
        for step, gradient in enumerate(gradients):
            gradient = keras.ops.convert_to_tensor(gradient)
            optimizer.apply([gradient], [weight])
            if step in wanted:
                without.apply([gradient], [plain])
        assert int(optimizer.iterations) == 3
        found.append(np.array(weight))
        if len(wanted) == 3:
            np.testing.assert_array_equal(weight, plain)
    assert not np.array_equal(*found)


def test_a_skipped_step_leaves_weights_moments_and_averages():
    weight = keras.Variable(np.float32([1.0, -2.0]))
    optimizer = adam(0.1, ema=0.75, skip_norm=3.0)
    optimizer.apply([keras.ops.ones((2,))], [weight])
    before = [np.array(variable) for variable in optimizer.variables[2:]]
    optimizer.apply([keras.ops.convert_to_tensor(np.float32([3.0, 0.1]))], [weight])
    after = [np.array(variable) for variable in optimizer.variables[2:]]
    assert len(before) == 3 and int(optimizer.iterations) == 2
    np.testing.assert_array_equal(before, after)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.skip_norm == 3.0


def test_averages_begin_as_the_weights_where_the_first_step_is_skipped():
    weight = keras.Variable(np.float32([1.0, -2.0]))
    optimizer = adam(0.1, ema=0.75, skip_norm=3.0)
    gradients = np.float32([[3.0, 0.1], [4.0, 0.0], [0.5, -1.0]])
    optimizer.apply([keras.ops.convert_to_tensor(gradients[0])], [weight])
    (average,) = optimizer._model_variables_moving_average
    np.testing.assert_array_equal(average, weight)
    start = np.array(weight)
    for gradient in gradients[1:]:  # one more that is skipped, and one that is not
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
    expected = 0.75 * start + 0.25 * np.array(weight)
    np.testing.assert_allclose(average, expected, rtol=1e-6)


def test_skipping_is_the_same_in_one_program_and_step_by_step(small_vae, images):
    weights = []
    for steps in (1, 4):
        vae = small_vae()
        vae.compile(adam(1e-2, skip_norm=13.0), steps_per_execution=steps)
        history = vae.fit(images(40), epochs=2, batch_size=8, verbose=0).history
        weights.append(vae.get_weights())
    assert np.isfinite(history["loss"]).all()
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
