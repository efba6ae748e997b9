import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_vae.errors import UsageError
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp


def test_own_networks_with_two_heads(images):
    inputs = keras.Input((28, 28, 1))
    hidden = layers.Dense(16, "relu")(layers.Flatten()(inputs))
    encoder = keras.Model(inputs, [layers.Dense(2)(hidden), layers.Dense(2)(hidden)])
    decoder = keras.Sequential(
        [keras.Input((2,)), layers.Dense(784), layers.Reshape((28, 28, 1))]
    )
    vae = VAE(encoder, decoder)
    vae.compile("adam")
    vae.fit(images(12, (28, 28, 1)), batch_size=4, verbose=0)
    assert vae.generate(5, seed=1).shape == (5, 28, 28, 1)
    mean, _ = encoder(images(3, (28, 28, 1)) / np.float32(255))
    np.testing.assert_allclose(
        vae.encode(images(3, (28, 28, 1))), mean, rtol=1e-5, atol=1e-6
    )


def test_parts_that_do_not_fit_are_named(small_vae):
    encoder, decoder = mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1)
    _, other = mlp((6, 5, 1), 4, posterior_params=8, likelihood_params=1)
    with pytest.raises(UsageError, match="encoder must give 8 numbers.*it gives 6"):
        VAE(encoder, other)
    flat = keras.Sequential([keras.Input((3,)), layers.Dense(30)])
    with pytest.raises(UsageError, match=r"End it with keras.layers.Reshape\(\(6, 5"):
        VAE(encoder, flat)
    with pytest.raises(UsageError, match="must be built"):
        VAE(keras.Sequential([layers.Dense(2)]), decoder)
    with pytest.raises(UsageError, match="Did you mean 'bernoulli'"):
        VAE(encoder, decoder, likelihood="bernouli")
    with pytest.raises(UsageError, match="needs a label"):
        small_vae(num_classes=3).terms(tf.zeros((2, 6, 5, 1)))
    with pytest.raises(UsageError, match=r"z must be \(N, 3\)"):
        small_vae().decode(np.zeros((2, 4)))
    with pytest.raises(UsageError, match="seed must be a whole number"):
        small_vae().generate(2, seed=2**24)


def test_a_decoder_that_ends_in_a_sigmoid_is_told_so():
    encoder, _ = mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1)
    decoder = keras.Sequential(
        [keras.Input((3,)), layers.Dense(30, "sigmoid"), layers.Reshape((6, 5, 1))]
    )
    with pytest.warns(UserWarning, match="ends in a sigmoid.*no activation"):
        VAE(encoder, decoder)
    VAE(encoder, decoder, likelihood="gaussian")  # a mean in [0, 1] is in order


def test_a_decoder_whose_last_layer_has_no_config_is_taken():
    class Block(layers.Layer):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, z):
            return self.inner(z)

        def compute_output_shape(self, shape):
            return self.inner.compute_output_shape(shape)

    encoder, _ = mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1)
    block = Block(layers.Dense(30))
    decoder = keras.Sequential([keras.Input((3,)), block, layers.Reshape((6, 5, 1))])
    with pytest.raises(NotImplementedError):
        block.get_config()
    assert VAE(encoder, decoder).generate(2).shape == (2, 6, 5, 1)


def test_a_latent_with_axes_is_refused_in_one_sentence():
    encoder, _ = mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1)
    decoder = keras.Sequential(
        [keras.Input((6, 5, 2)), layers.Conv2D(1, 3, padding="same")]
    )
    with pytest.raises(UsageError, match="must take a flat z.*Reshape"):
        VAE(encoder, decoder)
