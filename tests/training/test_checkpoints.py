"""A training that is cut, in the middle of an epoch too, ends as if it had not been."""

import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_vae.data.sources import load
from keras_vae.data.splits import ArraySplit
from keras_vae.distributions.priors import VampPrior
from keras_vae.errors import DivergedError, ModelError, OutputError, Stopped, UsageError
from keras_vae.files import locked
from keras_vae.objectives.elbo import ELBO
from keras_vae.training import state
from keras_vae.training.callbacks import AveragedWeights
from keras_vae.training.checkpoints import Checkpoint
from keras_vae.training.optimizers import OPTIMIZERS, adam, schedule

Y = np.arange(42) % 3


class Power(Exception):
    """It has failed."""


class Fails(keras.callbacks.Callback):
    """Ends the training, without a word to anybody, after so many calls."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def on_train_batch_begin(self, batch, logs=None):
        self.calls -= 1
        if self.calls < 0:
            raise Power


class Numbered(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 11

    def __getitem__(self, number):
        return self.x[4 * number : 4 * number + 4]


def everything(vae):
    variables = Checkpoint("unused")._variables(vae)
    return [array.tobytes() for array in state.arrays_of(variables).values()]


def trained(vae, x, folder, cuts=(), every=(1, "steps"), others=list, **kwargs):
    """What a training ends with, cut after these numbers of calls."""
    for calls in (*cuts, None):
        model = vae()
        callbacks = [Checkpoint(folder, every), *others()]
        if calls is not None:
            callbacks.append(Fails(calls))
        kwargs = {"epochs": 4, "verbose": 0, **kwargs}
        data = x() if callable(x) else x
        if isinstance(data, np.ndarray | ArraySplit):
            kwargs = {"batch_size": 4, **kwargs}
        try:
            history = model.fit(data, callbacks=callbacks, **kwargs).history
        except Power:
            continue
        return everything(model), history


def stopping():
    return [
        keras.callbacks.EarlyStopping(
            "val_loss", patience=1, restore_best_weights=True
        ),
        keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=100),
    ]


@pytest.fixture
def make(small_vae):
    """A maker of models that are compiled anew each time."""

    def maker(steps=2, jit_compile=False, **options):
        def vae():
            made = {k: v() if callable(v) else v for k, v in options.items()}
            optimizer = made.pop("optimizer", "adam")
            model = small_vae(**made)
            model.compile(optimizer, steps_per_execution=steps, jit_compile=jit_compile)
            return model

        return vae

    return maker


CASES = {
    "plain": {},
    "xla": {"jit_compile": True, "steps": "auto"},
    "stock loop": {"steps": 1},
    "dynamic": {"binarization": "dynamic"},
    "conditional, several samples": {"num_classes": 3, "num_samples": 2},
    "vampprior": {"prior": lambda: VampPrior(3, num_components=3, seed=1)},
    "warm-up": {"objective": lambda: ELBO(warmup_steps=30)},
    "ema": {"optimizer": lambda: keras.optimizers.Adam(0.01, use_ema=True)},
    "decay": {
        "optimizer": lambda: keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(0.01, 44)
        )
    },
    "muon": {"optimizer": lambda: keras.optimizers.Muon(0.01)},
    "risen, clipped, scaled": {
        "optimizer": lambda: keras.optimizers.LossScaleOptimizer(
            adam(schedule(0.01, 20, 44), clip_norm=5.0)
        )
    },
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_that_is_cut_ends_with_the_same_bits(make, images, tmp_path, case):
    vae, x = make(**CASES[case]), images(42)
    y = {"y": Y} if "num_classes" in CASES[case] else {}
    whole = trained(vae, x, tmp_path / "whole", **y)
    cut = trained(vae, x, tmp_path / "cut", cuts=(1, 4, 7, 3), **y)
    assert cut == whole
    assert len(whole[1]["loss"]) == 4


@pytest.mark.parametrize("every", [(1, "epochs"), (3, "steps"), (2, "epochs")])
def test_however_often_it_is_saved(make, images, tmp_path, every):
    x, vae = images(42), make()
    whole = trained(vae, x, tmp_path / "whole", every=every)
    assert trained(vae, x, tmp_path / "cut", (9, 14, 2), every=every) == whole


def test_callbacks_go_on_where_they_were(make, images, tmp_path):
    x, vae = images(42), make(optimizer=lambda: keras.optimizers.Adam(0.3))
    more = {"others": stopping, "validation_data": images(9, seed=1), "epochs": 30}
    whole = trained(vae, x, tmp_path / "whole", **more)
    assert 2 < len(whole[1]["loss"]) < 30  # it has stopped early
    assert whole[1]["learning_rate"][-1] < whole[1]["learning_rate"][0]
    cut = trained(vae, x, tmp_path / "cut", (3, 8, 5), **more)
    assert cut == whole
    again = trained(vae, x, tmp_path / "cut", **more)  # nothing is left to do
    assert again == whole


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_averages_go_on_where_they_were(make, images, tmp_path, name):
    vae = make(optimizer=lambda: OPTIMIZERS[name](0.01, ema=0.9))
    more = {"others": lambda: [AveragedWeights()], "validation_data": images(9, seed=1)}
    whole = trained(vae, images(42), tmp_path / "whole", **more)
    assert trained(vae, images(42), tmp_path / "cut", (3, 4, 9), **more) == whole
    trained(vae, images(42), tmp_path / "more", epochs=2, **more)
    assert trained(vae, images(42), tmp_path / "more", **more) == whole


@pytest.mark.parametrize("kind", ["split", "tf.data", "shuffled", "py", "steps"])
def test_every_kind_of_data_goes_on(make, images, tmp_path, kind):
    x, more = images(42), {}
    if kind == "steps":
        more = {"steps_per_epoch": 4}

    def data():
        rows = tf.data.Dataset.from_tensor_slices(x)
        return {
            "split": lambda: ArraySplit(x),
            "tf.data": lambda: rows.batch(4),
            "shuffled": lambda: rows.shuffle(42, seed=3).batch(4),
            "py": lambda: Numbered(x),
            "steps": lambda: x,
        }[kind]()

    whole = trained(make(), data, tmp_path / "whole", **more)
    assert trained(make(), data, tmp_path / "cut", (3, 4, 1), **more) == whole


def test_images_that_stay_on_disk_go_on(make, images, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number, image in enumerate(images(60)[..., 0]):
        Image.fromarray(image).save(folder / f"{number}.png")

    def data():
        return load(folder, memory_budget=0, validation_images=10).train

    assert not isinstance(data(), ArraySplit)
    whole = trained(make(), data, tmp_path / "whole", batch_size=4)
    cut = trained(make(), data, tmp_path / "cut", (3, 4, 1), batch_size=4)
    assert cut == whole
    (folder / "7.png").write_bytes((folder / "8.png").read_bytes())
    with pytest.raises(ModelError, match="holds a training with data"):
        trained(make(), data, tmp_path / "cut", batch_size=4)


def test_more_epochs_continue_a_training_that_was_over(make, images, tmp_path):
    x, vae = images(42), make()
    whole = trained(vae, x, tmp_path / "whole")
    trained(vae, x, tmp_path / "more", epochs=2)
    assert trained(vae, x, tmp_path / "more") == whole


def test_two_generations_are_kept_and_nothing_else(make, images, tmp_path):
    (tmp_path / ".tmp-epoch-0001-step-000000.safetensors").write_bytes(b"half")
    trained(make(), images(42), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-0003-step-000011.safetensors",
        "epoch-0004-step-000000.safetensors",
    ]


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    make, images, tmp_path, capsys
):
    x, vae = images(42), make()
    whole = trained(vae, x, tmp_path / "whole")
    trained(vae, x, tmp_path / "cut", epochs=2)
    newest, older = Checkpoint(tmp_path / "cut").generations()
    data = bytearray(newest.read_bytes())
    data[-5] ^= 16
    newest.write_bytes(data)
    assert trained(vae, x, tmp_path / "cut") == whole
    said = capsys.readouterr().out
    assert f"{newest} is damaged (its checksum does not agree)" in said
    assert f"goes on from {older.name}" in said
    for path in Checkpoint(tmp_path / "cut").generations():
        path.write_bytes(b"")
    with pytest.raises(ModelError, match="is damaged .* No other is left"):
        trained(vae, x, tmp_path / "cut")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"optimizer": lambda: keras.optimizers.Adam(0.5)}, "learning_rate"),
        ({"optimizer": "sgd"}, "optimizer.module|optimizer.class_name"),
        ({"binarization": "dynamic"}, "model.binarization"),
        ({"num_samples": 3}, "model.num_samples"),
        ({"seed": 9}, "seed"),
        ({"steps": 1}, "stock_loop"),
        ({"data": 41}, "data"),
        ({"batch_size": 6}, "batch_size"),
    ],
)
def test_another_setting_is_refused_by_its_name(make, images, tmp_path, change, name):
    trained(make(), images(42), tmp_path, epochs=1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    batch_size, number = change.pop("batch_size", 4), change.pop("data", 42)
    with pytest.raises(ModelError, match=f"holds a training with .*({name})"):
        trained(make(**change), images(number), tmp_path, batch_size=batch_size)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_versions_are_refused_unless_allowed(make, images, tmp_path, monkeypatch):
    vae, x = make(), images(42)
    trained(vae, x, tmp_path, epochs=1)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    with pytest.raises(ModelError, match="with TF_ENABLE_ONEDNN_OPTS None, not 0"):
        trained(vae, x, tmp_path)
    model = vae()
    model.fit(
        x,
        batch_size=4,
        epochs=2,
        verbose=0,
        callbacks=[Checkpoint(tmp_path, elsewhere=True)],
    )
    assert model.optimizer.iterations == 22


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_training_when_all_is_saved(make, images, tmp_path, number):
    x, vae = images(42), make()
    whole = trained(vae, x, tmp_path / "whole")

    class Interrupts(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if self.model.optimizer.iterations == 15:
                os.kill(os.getpid(), number)

    with pytest.raises(Stopped, match="in epoch 2, after 6 of 11 steps") as stopped:
        trained(
            vae, x, tmp_path / "cut", every=(9, "epochs"), others=lambda: [Interrupts()]
        )
    assert stopped.value.exit_code == 128 + number
    assert isinstance(stopped.value, KeyboardInterrupt)
    assert trained(vae, x, tmp_path / "cut", every=(9, "epochs")) == whole


def test_nothing_that_is_not_finite_is_saved(make, images, tmp_path):
    class Spoils(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                weight = self.model.trainable_weights[0]
                weight.assign(np.full(weight.shape, np.nan))

    with pytest.raises(DivergedError, match="kernel is no longer finite"):
        trained(make(), images(42), tmp_path, others=lambda: [Spoils()])
    for path in Checkpoint(tmp_path).generations():
        arrays, _ = state.read(path)
        assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_folder_is_of_one_training(make, images, tmp_path):
    with locked(tmp_path), pytest.raises(OutputError, match="Another training saves"):
        trained(make(), images(42), tmp_path)


def test_what_it_is_asked_must_make_sense(make, images, tmp_path):
    for every in ((0, "epochs"), (1, "weeks")):
        with pytest.raises(UsageError, match="every must be"):
            Checkpoint(tmp_path, every)
    rows = tf.data.Dataset.from_tensor_slices(images(8)).batch(4)
    unknown = rows.filter(lambda x: True)
    with pytest.raises(UsageError, match="of unknown length is saved in epochs"):
        trained(make(), unknown, tmp_path)
    two = [Checkpoint(tmp_path), Checkpoint(tmp_path)]
    with pytest.raises(UsageError, match="one Checkpoint; got 2"):
        make()().fit(images(8), verbose=0, callbacks=two)
