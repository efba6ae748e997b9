"""Every callback of Keras works with steps that run many to a call, or says why not."""

import http.server
import importlib.util
import json
import logging
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import callbacks

from keras_vae.errors import UsageError

BATCH = 2  # five steps an epoch, in calls of 2, 2 and 1

# where each callback of Keras is tested; what Keras adds must be added here
COVERED = {
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "OrbaxCheckpoint",  # is made only with the package orbax-checkpoint: Keras says so
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
}


def test_every_callback_of_keras_is_covered():
    shipped = {name for name in dir(callbacks) if name[0].isupper()}
    assert shipped == COVERED


@pytest.fixture
def train(bytes_):
    def fit(vae, *given, epochs=3, **kwargs):
        return vae.fit(
            bytes_,
            batch_size=BATCH,
            epochs=epochs,
            verbose=0,
            callbacks=[*given],
            validation_data=bytes_[:4],
            **kwargs,
        )

    return fit


class Rates(callbacks.Callback):
    """Notes the learning rate after each epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(float(self.model.optimizer.learning_rate))


def test_csv_logger_writes_what_history_holds(fresh, train, tmp_path):
    history = train(fresh(), callbacks.CSVLogger(tmp_path / "log.csv"))
    names, *rows = (tmp_path / "log.csv").read_text().splitlines()
    for row, epoch in zip(rows, history.epoch, strict=True):
        found = dict(zip(names.split(","), map(float, row.split(",")), strict=True))
        expected = {k: v[epoch] for k, v in history.history.items()}
        assert found == {"epoch": epoch, **expected}


def test_early_stopping_restores_the_best_weights(fresh, make_vae, train):
    vae, best = fresh(), make_vae()
    stop = callbacks.EarlyStopping(
        "loss",
        patience=1,
        mode="max",
        restore_best_weights=True,  # the loss falls
    )
    history = train(vae, stop, epochs=9)
    train(best, epochs=1)
    assert history.epoch == [0, 1] and stop.best_epoch == 0
    for a, b in zip(vae.get_weights(), best.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_early_stopping_takes_the_terms_of_validation(fresh, train):
    stop = callbacks.EarlyStopping("val_elbo", mode="max", min_delta=1e9, patience=2)
    assert len(train(fresh(), stop, epochs=9).epoch) == 3


def test_lambda_callback_and_callback_see_the_last_step_of_each_call(fresh, train):
    begun, ended, losses = [], [], []

    class Seen(callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            begun.append(batch)

    lambdas = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: (
            ended.append(batch),
            losses.append(float(logs["loss"])),
        )
    )
    history = train(fresh(), Seen(), lambdas, epochs=1)
    assert begun == [0, 2, 4] and ended[:2] == [1, 3]
    assert losses[-1] == history.history["loss"][0]


def test_a_callback_can_stop_within_an_epoch(fresh, train):
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    vae = fresh()
    assert train(vae, Stop()).epoch == [0]
    assert vae.optimizer.iterations.numpy() == 2


def test_a_callback_list_is_taken_as_it_is(fresh, bytes_):
    vae = fresh()
    inner = callbacks.History()
    given = callbacks.CallbackList([inner], model=vae, epochs=2, steps=5)
    vae.fit(bytes_, batch_size=BATCH, epochs=2, verbose=0, callbacks=given)
    assert inner.epoch == [0, 1]
    alone = callbacks.History()
    vae.fit(bytes_, batch_size=BATCH, verbose=0, callbacks=alone)
    assert alone.epoch == [0]


def test_evaluate_and_predict_call_back(fresh, bytes_):
    vae, seen = fresh(), []
    callback = callbacks.LambdaCallback()
    callback.on_test_end = lambda logs=None: seen.append(("test", set(logs)))
    callback.on_predict_end = lambda logs=None: seen.append("predict")
    vae.evaluate(bytes_, batch_size=BATCH, verbose=0, callbacks=[callback])
    vae.predict(bytes_, batch_size=BATCH, verbose=0, callbacks=[callback])
    assert seen == [("test", set(vae.metrics_names)), "predict"]


def test_learning_rate_scheduler_sets_the_rate(fresh, train):
    rates = Rates()
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / (epoch + 1))
    history = train(fresh(), schedule, rates)
    assert rates.seen == pytest.approx([0.1, 0.05, 0.1 / 3])
    assert history.history["learning_rate"] == pytest.approx(rates.seen)


def test_the_compiled_steps_follow_the_rate(make_vae, fresh, train):
    vae, still = fresh(), callbacks.LearningRateScheduler(lambda epoch: 0.0)
    before = vae.get_weights()
    train(vae, still)
    for a, b in zip(before, vae.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_reduce_lr_on_plateau_lowers_the_rate(fresh, train):
    rates = Rates()
    reduce = callbacks.ReduceLROnPlateau(
        "val_loss", factor=0.5, patience=1, min_delta=1e9
    )
    train(fresh(), reduce, rates, epochs=4)
    assert rates.seen == pytest.approx([0.001, 0.0005, 0.00025, 0.000125])


@pytest.mark.parametrize("scaled", [False, True])
def test_a_rate_on_a_plateau_is_that_of_the_compiled_steps(make_vae, train, scaled):
    """The weights are those of Keras's own loop, its rate set by hand each epoch."""

    def make(steps):
        optimizer = keras.optimizers.SGD(1e-3)
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, 2.0)
        return make_vae(optimizer=optimizer, steps=steps)

    vae, rates = make(2), Rates()
    reduce = callbacks.ReduceLROnPlateau(
        "val_loss", factor=0.25, patience=1, min_delta=1e9
    )
    train(vae, reduce, rates, epochs=4)
    assert rates.seen == pytest.approx([1e-3, 2.5e-4, 6.25e-5, 1.5625e-5])
    other = make(1)
    for epoch, rate in enumerate([1e-3, *rates.seen[:3]]):
        other.optimizer.learning_rate = rate
        train(other, epochs=epoch + 1, initial_epoch=epoch)
    unchanged = make(1)
    train(unchanged, epochs=4)
    for a, b in zip(vae.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)  # sums in float32
    bias, faster = vae.trainable_weights[-1], unchanged.trainable_weights[-1]
    assert not np.allclose(bias, faster, rtol=1e-2)


@pytest.mark.parametrize("save_freq", ["epoch", 4])
def test_model_checkpoint_saves_what_can_be_loaded(fresh, train, tmp_path, save_freq):
    path = tmp_path / "vae.keras"
    vae = fresh()
    train(vae, callbacks.ModelCheckpoint(path, save_freq=save_freq), epochs=1)
    loaded = keras.models.load_model(path)
    assert loaded.optimizer.iterations.numpy() == (5 if save_freq == "epoch" else 4)
    if save_freq == "epoch":
        np.testing.assert_array_equal(loaded.generate(3), vae.generate(3))


def test_model_checkpoint_keeps_the_best(fresh, make_vae, train, tmp_path):
    path = tmp_path / "best.weights.h5"
    checkpoint = callbacks.ModelCheckpoint(
        path,
        monitor="val_elbo",
        mode="min",
        save_best_only=True,
        save_weights_only=True,
    )
    train(fresh(), checkpoint)  # the elbo rises: the first epoch is kept
    best, loaded = make_vae(), make_vae()
    train(best, epochs=1)
    loaded.load_weights(path)
    for a, b in zip(best.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_progbar_logger_prints_the_terms(fresh, train, capsys):
    vae = fresh()
    vae.fit(
        np.zeros((10, 6, 5, 1)), batch_size=BATCH, callbacks=[callbacks.ProgbarLogger()]
    )
    assert "log_likelihood" in capsys.readouterr().out


def test_remote_monitor_posts_the_terms(fresh, train):
    posted = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        root = f"http://127.0.0.1:{server.server_port}"
        monitor = callbacks.RemoteMonitor(root=root, path="/", send_as_json=True)
        history = train(fresh(), monitor).history
        server.shutdown()
        thread.join()
    assert [post["elbo"] for post in posted] == history["elbo"]


def test_swap_ema_weights_evaluates_the_averages(make_vae, train, bytes_):
    optimizer = keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.5)
    vae = make_vae(optimizer=optimizer)
    train(vae, callbacks.SwapEMAWeights(swap_on_epoch=True))
    averages = optimizer._model_variables_moving_average
    for weight, average in zip(vae.trainable_weights, averages, strict=True):
        np.testing.assert_array_equal(weight.numpy(), average.numpy())
    plain = make_vae(optimizer="adam")
    with pytest.raises(ValueError, match="use_ema=True"):
        train(plain, callbacks.SwapEMAWeights())


def test_tensorboard_writes_or_names_its_package(fresh, train, tmp_path):
    tensorboard = callbacks.TensorBoard(tmp_path, update_freq=1)
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(UsageError, match=r"pip install '.\[tensorboard\]'"):
            train(fresh(), tensorboard)
    else:
        from tensorboard.backend.event_processing import event_accumulator
        from tensorboard.util.tensor_util import make_ndarray

        history = train(fresh(), tensorboard)
        for part, prefix in (("train", ""), ("validation", "val_")):
            events = event_accumulator.EventAccumulator(str(tmp_path / part))
            events.Reload()
            found = [make_ndarray(e.tensor_proto) for e in events.Tensors("epoch_elbo")]
            assert found == pytest.approx(history.history[f"{prefix}elbo"])


@pytest.mark.parametrize("raise_error", [False, True])
def test_terminate_on_nan_ends_the_training(make_vae, train, raise_error, capsys):
    vae = make_vae(optimizer=keras.optimizers.SGD(1e30))
    terminate = callbacks.TerminateOnNaN(raise_error=raise_error)
    if raise_error:
        with pytest.raises(RuntimeError, match="NaN or Inf loss"):
            train(vae, terminate, epochs=9)
    else:
        assert len(train(vae, terminate, epochs=9).epoch) < 9


class Interrupted(callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_backup_and_restore_goes_on_bit_for_bit(
    make_vae, fresh, train, assert_same, tmp_path
):
    whole = make_vae()
    train(whole, epochs=4)
    folder = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt):
        train(fresh(), callbacks.BackupAndRestore(folder), Interrupted(), epochs=4)
    again = make_vae()
    history = train(again, callbacks.BackupAndRestore(folder), epochs=4)
    assert history.epoch == [2, 3]
    assert_same(whole, again)
    assert train(again, epochs=1).epoch == [0]  # the next run begins at the beginning


def test_backup_within_an_epoch_is_refused(fresh, train, tmp_path):
    with pytest.raises(UsageError, match='save_freq="epoch"'):
        train(fresh(), callbacks.BackupAndRestore(tmp_path, save_freq=2))


def test_many_models_bring_no_warning_of_retracing(make_vae, bytes_):
    seen = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    tf.get_logger().addHandler(handler)
    try:
        for _ in range(6):  # TensorFlow warns at the fifth
            vae = make_vae()
            vae.fit(bytes_, batch_size=5, verbose=0)
            vae.predict(vae.reconstruct(bytes_), verbose=0)
    finally:
        tf.get_logger().removeHandler(handler)
    assert not [message for message in seen if "retracing" in message]
