import numpy as np
import pytest
import tensorflow as tf

from keras_vae import replicas
from keras_vae.distributions import noise
from keras_vae.distributions.noise import standard_normal, standard_uniform


class Replica:
    """As TensorFlow's context, of one among several replicas."""

    def __init__(self, index, number):
        self.replica_id_in_sync_group = tf.constant(index)
        self.num_replicas_in_sync = number


@pytest.fixture
def as_replica(monkeypatch):
    def as_replica(index, number):
        context = Replica(index, number)
        monkeypatch.setattr(tf.distribute, "get_replica_context", lambda: context)

    return as_replica


class Seed:
    def next(self):
        return tf.constant([3, 4], tf.uint32)


@pytest.mark.parametrize("axis, shape", [(0, (12, 5)), (1, (2, 12, 5)), (1, (3, 12))])
@pytest.mark.parametrize("draw", [standard_normal, standard_uniform])
def test_each_replica_draws_its_part_of_the_noise_of_one_device(
    as_replica, draw, axis, shape
):
    whole = draw(shape, Seed(), axis=axis).numpy()
    for number in (2, 3, 4):
        own = [*shape]
        own[axis] //= number
        parts = []
        for index in range(number):
            as_replica(index, number)
            parts.append(draw(own, Seed(), axis=axis).numpy())
        joined = np.concatenate(parts, axis=axis)
        # the same numbers; a sine may be computed a last bit apart in another loop
        np.testing.assert_allclose(joined, whole, rtol=0, atol=5e-7)


def test_noise_without_an_axis_of_images_is_the_same_on_all(as_replica):
    whole = noise.standard_normal((4, 3), Seed()).numpy()
    as_replica(1, 2)
    np.testing.assert_array_equal(noise.standard_normal((4, 3), Seed()), whole)


def test_alone_there_is_one_replica_and_totals_are_as_they_are():
    value = tf.constant(2.0)
    assert replicas.num_replicas() == 1
    assert replicas.total(value) is value
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():  # outside of a step
        assert replicas.num_replicas() == 1
