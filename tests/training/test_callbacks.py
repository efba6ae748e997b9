import csv
import io

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vae.pictures.grids import image_grid, pair_grid, to_uint8
from keras_vae.training import callbacks, state


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def same_picture(path, grid):
    """Whether a PNG holds a grid, enlarged or not."""
    found, expected = pixels(path), to_uint8(grid)[..., 0]
    factor = found.shape[0] // expected.shape[0]
    return np.array_equal(found, expected.repeat(factor, 0).repeat(factor, 1))


def test_image_grids_show_prior_draws_and_pairs(small_vae, images, tmp_path):
    vae, x, y = small_vae(num_classes=3), images(5), np.arange(5) % 3
    grids = callbacks.ImageGrids(tmp_path, x, y, num_generated=9, seed=4)
    vae.fit(x, y, batch_size=5, epochs=2, verbose=0, callbacks=[grids])
    names = {
        f"epoch-000{epoch}-{kind}.png"
        for epoch in (1, 2)
        for kind in ("generated", "reconstructed")
    }
    assert {path.name for path in tmp_path.iterdir()} == names
    generated = image_grid(vae.generate(9, seed=4))
    assert same_picture(tmp_path / "epoch-0002-generated.png", generated)
    pairs = pair_grid(x, vae.reconstruct(x, y), columns=8)
    assert same_picture(tmp_path / "epoch-0002-reconstructed.png", pairs)


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_history_has_a_row_an_epoch(small_vae, images, tmp_path):
    vae, path = small_vae(), tmp_path / "history.csv"
    history = callbacks.History(path)
    logs = vae.fit(
        images(12),
        validation_data=images(6),
        batch_size=4,
        epochs=3,
        verbose=0,
        callbacks=[history],
    ).history
    rows = read(path)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert set(rows[0]) == {"epoch", "seconds", *logs} and "val_elbo" in logs
    for name, values in logs.items():
        np.testing.assert_allclose([float(row[name]) for row in rows], values)
    assert all(float(row["seconds"]) >= 0 for row in rows)
    assert list(tmp_path.iterdir()) == [path]


def test_history_does_not_count_the_compilation(monkeypatch, tmp_path):
    now = [0.0]
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: now[0])

    class Model:
        compile_seconds = 1.0  # of an earlier fit

    history = callbacks.History(tmp_path / "history.csv")
    history.set_model(Model())
    history.on_train_begin()
    history._start = history._seconds = 1e9  # of a training that was cut
    for compiling in (5.0, 0.0):
        history.on_epoch_begin(0)
        for step in range(2):
            history.on_train_batch_begin(0)
            if step == 0:
                Model.compile_seconds += compiling
                now[0] += compiling
            now[0] += 2.0
            history.on_train_batch_end(0)
            now[0] += 100.0  # validation, pictures
        history.on_epoch_end(0, {"loss": 1.0})
    assert [row["seconds"] for row in read(tmp_path / "history.csv")] == ["4.000"] * 2


def test_the_weights_of_the_best_epoch_are_kept(small_vae, images, tmp_path):
    vae, path = small_vae(), tmp_path / "best.safetensors"
    weights = callbacks.BestWeights(path, "val_elbo")
    weights.set_model(vae)
    states = []
    for epoch, elbo in enumerate([-5.0, -3.0, -4.0]):
        vae.trainable_weights[0].assign_add(np.ones_like(vae.get_weights()[0]))
        states.append([weight.copy() for weight in vae.get_weights()])
        weights.on_epoch_end(epoch, {"val_elbo": elbo})
    assert weights.best == -3.0
    arrays, facts = state.read(path)
    assert facts == {"epoch": 2, "monitor": "val_elbo", "value": -3.0}
    other = small_vae(seed=8)
    state.assign(path, arrays, state.by_name(other.weights))
    for found, expected in zip(other.get_weights(), states[1], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert list(tmp_path.iterdir()) == [path]
    assert weights.restore(weights.model) == 2
    for found, expected in zip(vae.get_weights(), states[1], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_of_a_loss_less_is_better(small_vae, tmp_path):
    weights = callbacks.BestWeights(tmp_path / "best.safetensors", "val_loss")
    weights.set_model(small_vae())
    for epoch, loss in enumerate([5.0, 3.0, 4.0]):
        weights.on_epoch_end(epoch, {"val_loss": loss})
    assert weights.restore(weights.model) == 2 and weights.best == 3.0


class Seen(keras.callbacks.Callback):
    """Notes the weights: after each step, at each validation and epoch's end."""

    def __init__(self):
        super().__init__()
        self.steps, self.tests, self.epochs = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(self.model.get_weights())

    def on_test_begin(self, logs=None):
        self.tests.append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(self.model.get_weights())


def assert_close(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)  # sums in float32


@pytest.mark.parametrize("scaled", [False, True])
def test_an_epoch_ends_with_averaged_weights(small_vae, images, scaled):
    def trained(steps, *others):
        vae, seen = small_vae(), Seen()
        optimizer = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.75)
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        vae.compile(optimizer, steps_per_execution=steps, jit_compile=False)
        history = vae.fit(
            images(20),
            validation_data=images(8, seed=1),
            batch_size=4,
            epochs=3,
            verbose=0,
            callbacks=[*others, seen],
        )
        return vae, seen, history

    _, plain, _ = trained(1)
    expected, average = [], None
    for number, weights in enumerate(plain.steps, 1):
        if average is None:
            average = weights
        else:
            pairs = zip(average, weights, strict=True)
            average = [0.75 * a + 0.25 * w for a, w in pairs]
        if number % 5 == 0:
            expected.append(average)
    vae, seen, history = trained(3, callbacks.AveragedWeights())
    for tested, ended, average in zip(seen.tests, seen.epochs, expected, strict=True):
        assert_close(tested, average)
        assert_close(ended, average)
    assert_close(vae.get_weights(), expected[-1])  # Keras leaves them there
    # the training itself was not touched: 5 steps are calls of 3 and 2
    for found, step in zip(seen.steps, (2, 4, 7, 9, 12, 14), strict=True):
        assert_close(found, plain.steps[step])
    last = vae.evaluate(images(8, seed=1), batch_size=4, verbose=0, return_dict=True)
    assert last["elbo"] == pytest.approx(history.history["val_elbo"][-1], rel=1e-6)


def test_averages_are_left_where_a_training_stops_early(small_vae, images):
    vae, seen = small_vae(), Seen()
    optimizer = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.75)
    vae.compile(optimizer, steps_per_execution=2, jit_compile=False)
    stop = keras.callbacks.EarlyStopping("loss", patience=1, min_delta=1e9)
    given = [callbacks.AveragedWeights(), stop, seen]
    vae.fit(images(20), batch_size=4, epochs=9, verbose=0, callbacks=given)
    assert len(seen.epochs) == 2
    for found, expected in zip(vae.get_weights(), seen.epochs[-1], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(vae.get_weights()[0], seen.steps[-1][0])


@pytest.mark.parametrize(("epochs", "drawn"), [(5, [2, 4, 5]), (4, [2, 4])])
def test_pictures_of_every_second_epoch_and_of_the_last(
    epochs, drawn, small_vae, images, tmp_path
):
    grids = callbacks.ImageGrids(tmp_path, images(4), every=2)
    small_vae().fit(images(8), epochs=epochs, verbose=0, callbacks=[grids])
    kinds = ("generated", "reconstructed")
    expected = {f"epoch-{n:04d}-{kind}.png" for n in drawn for kind in kinds}
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_tensorboard_has_the_metrics_and_the_pictures(small_vae, images, tmp_path):
    pytest.importorskip("tensorboard", reason="needs '.[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    samples, folder, x = tmp_path / "samples", tmp_path / "tensorboard", images(12)
    samples.mkdir()
    given = [
        callbacks.ImageGrids(samples, x[:4], num_generated=9),
        callbacks.TensorBoard(folder, samples),
    ]
    history = small_vae().fit(
        x,
        validation_data=x[:6],
        batch_size=2,
        epochs=3,
        verbose=0,
        callbacks=given,
    )

    def events(part, name):
        found = EventAccumulator(str(folder / part))
        found.Reload()
        assert [event.step for event in found.Tensors(name)] == [0, 1, 2]
        return [make_ndarray(event.tensor_proto) for event in found.Tensors(name)]

    for name in ("loss", "elbo", "log_likelihood", "kl_divergence"):
        for part, prefix in (("train", ""), ("validation", "val_")):
            found = events(part, f"epoch_{name}")
            np.testing.assert_allclose(found, history.history[prefix + name], rtol=1e-6)
    for kind in ("generated", "reconstructed"):
        for epoch, event in enumerate(events("samples", kind), 1):
            png = event[2]  # after width and height
            expected = pixels(samples / f"epoch-{epoch:04d}-{kind}.png")
            with Image.open(io.BytesIO(png)) as picture:
                np.testing.assert_array_equal(np.asarray(picture), expected)
