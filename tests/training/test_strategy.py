import pytest
import tensorflow as tf

from keras_vae.errors import UsageError


def test_a_distribution_strategy_is_refused_in_one_sentence(small_vae, images):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        made_inside = small_vae()
    with pytest.raises(UsageError, match="MirroredStrategy is not supported"):
        made_inside.fit(images(4), verbose=0)
    outside = small_vae()
    with strategy.scope(), pytest.raises(UsageError, match="outside of strategy.scope"):
        outside.fit(images(4), verbose=0)
