import csv

import numpy as np
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
    for compiling in (5.0, 0.0):
        history.on_epoch_begin(0)
        for _ in range(2):
            history.on_train_batch_begin(0)
            now[0] += 2.0
            history.on_train_batch_end(0)
            now[0] += 100.0  # validation, pictures
        Model.compile_seconds += compiling
        now[0] += compiling
        history._seconds += compiling  # it is part of the first step
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
