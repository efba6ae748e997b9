"""A step on several devices is that on one; parts of the CPU stand for GPUs."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import tensorflow as tf

from keras_vae import VAE
from keras_vae.errors import UsageError, WorkerLostError
from keras_vae.objectives.aggregate import BetaTCVAE, InfoVAE
from keras_vae.training import strategy

CASES = (
    "dynamic-2",
    "dynamic-4",
    "iwae-2",
    "free_bits-2",
    "own_batches-2",
    "regularized-2",
)


@pytest.fixture(scope="module")
def apart():
    """How far apart one device and several end, by case and number."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.on_replicas"],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", CASES)
def test_a_step_on_several_devices_is_that_on_one(apart, case):
    found = apart[case]
    # sums in another order: some units of float32's last place
    assert found["step"] < 1e-5
    assert found["history"] < 1e-4  # of three epochs with Adam, and of validation
    assert found["images"] < 1e-4


@pytest.fixture
def mirrored():
    return tf.distribute.MirroredStrategy(["CPU:0"])


def test_a_strategy_of_one_device_trains(small_vae, images, mirrored):
    with mirrored.scope():
        vae = small_vae()
    alone = small_vae()
    mine, its = (
        model.fit(images(20), batch_size=8, epochs=2, verbose=0).history["loss"]
        for model in (alone, vae)
    )
    assert its == pytest.approx(mine, rel=1e-5)  # XLA or not, in slices or not
    assert vae.evaluate(images(20), verbose=0) == pytest.approx(
        alone.evaluate(images(20), verbose=0), rel=1e-5
    )
    with pytest.raises(UsageError, match="train_on_batch works on one device only"):
        vae.train_on_batch(images(8))


def test_what_cannot_be_trained_on_a_strategy_is_refused(small_vae, images, mirrored):
    outside = small_vae()
    with mirrored.scope(), pytest.raises(UsageError, match="made outside of this Mirr"):
        outside.fit(images(4), verbose=0)
    with mirrored.scope():
        mixed = VAE(outside.encoder, outside.decoder)
        with pytest.raises(UsageError, match="were made outside of strategy.scope()"):
            mixed.compile()
    other = tf.distribute.OneDeviceStrategy("CPU:0")
    with (
        other.scope(),
        pytest.raises(UsageError, match="OneDeviceStrategy is not supported"),
    ):
        small_vae()


def test_what_replicas_cannot_do_is_refused(small_vae):
    for objective in (BetaTCVAE(), InfoVAE()):
        assert small_vae(objective=objective).couples_images
    assert not small_vae().couples_images
    three = SimpleNamespace(num_replicas_in_sync=3)
    with pytest.raises(UsageError, match="128 images .* among 3 devices; make it a mu"):
        strategy.check_divides(three, 128)
    strategy.check_divides(three, 129)


def test_a_lost_worker_is_one_sentence():
    error = tf.errors.UnavailableError(None, None, "Socket closed")
    workers = SimpleNamespace(cluster_resolver=SimpleNamespace(task_type="worker"))
    with pytest.raises(WorkerLostError, match="start all of them again, with --resume"):
        with strategy.together(workers):
            raise error
    with pytest.raises(tf.errors.UnavailableError):  # it is no worker's here
        with strategy.together(tf.distribute.get_strategy()):
            raise error
