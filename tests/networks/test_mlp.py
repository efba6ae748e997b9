import keras
import numpy as np
import pytest

from keras_vae.errors import UsageError
from keras_vae.networks.layers import ACTIVATIONS
from keras_vae.networks.mlp import mlp
from keras_vae.networks.table import NETWORKS

CLASSIC = {"posterior_params": 40, "likelihood_params": 1}


def weights(*models):
    return [np.asarray(w) for model in models for w in model.weights]


def test_mlp_default_is_the_classic_network():
    encoder, decoder = mlp((28, 28, 1), 20, **CLASSIC)
    assert encoder.output_shape == (None, 40)
    assert decoder.output_shape == (None, 28, 28, 1)
    shapes = [w.shape for w in encoder.weights + decoder.weights]
    assert shapes == [
        *[(784, 400), (400,), (400, 40), (40,)],
        *[(20, 400), (400,), (400, 784), (784,)],
    ]


def test_mlp_computes_the_textbook_formula():
    encoder, decoder = mlp((2, 3, 1), 2, **CLASSIC, hidden=(5,), activation="tanh")
    x = np.random.default_rng(0).uniform(size=(4, 2, 3, 1)).astype("float32")
    w1, b1, w2, b2 = weights(encoder)
    expected = np.tanh(x.reshape(4, -1) @ w1 + b1) @ w2 + b2
    np.testing.assert_allclose(encoder(x), expected, rtol=1e-5, atol=1e-6)
    z = np.float32([[0.3, -1.0]])
    w1, b1, w2, b2 = weights(decoder)
    expected = (np.tanh(z @ w1 + b1) @ w2 + b2).reshape(1, 2, 3, 1)
    np.testing.assert_allclose(decoder(z), expected, rtol=1e-5, atol=1e-6)


def test_mlp_same_seed_same_weights_and_every_layer_its_own():
    build = {"hidden": (6, 6, 6), **CLASSIC}
    first = weights(*mlp((2, 3, 1), 6, seed=3, **build))
    again = weights(*mlp((2, 3, 1), 6, seed=3, **build))
    other = weights(*mlp((2, 3, 1), 6, seed=4, **build))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.ndim == 1 or not np.array_equal(a, c)
    squares = [w for w in first if w.shape == (6, 6)]
    assert len({w.tobytes() for w in squares}) == len(squares) == 7


@pytest.mark.parametrize("hidden", [(), (7,), (9, 5, 3)])
def test_mlp_any_depth_mirrors_the_encoder(hidden):
    encoder, decoder = mlp(
        (4, 5, 3), 2, posterior_params=4, likelihood_params=10, hidden=hidden
    )
    assert decoder.output_shape == (None, 4, 5, 30)
    widths = [w.shape[1] for w in encoder.weights if len(w.shape) == 2]
    assert widths == [*hidden, 4]
    widths = [w.shape[1] for w in decoder.weights if len(w.shape) == 2]
    assert widths == [*reversed(hidden), 4 * 5 * 30]


def test_mlp_labels_change_both_networks():
    encoder, decoder = mlp((4, 4, 1), 2, **CLASSIC, num_classes=10)
    x, z = np.ones((2, 4, 4, 1), "float32"), np.ones((2, 2), "float32")
    label = np.array([3, 4])
    for model, features in [(encoder, x), (decoder, z)]:
        first, second = np.asarray(model([features, label]))
        assert not np.allclose(first, second)
        names = [tensor.name for tensor in model.inputs]
        assert names[1] == "label" and names[0] in ("x", "z")


def test_mlp_output_bias_is_where_an_untrained_decoder_starts():
    bias = np.arange(12, dtype="float32").reshape(2, 3, 2)
    _, decoder = mlp(
        (2, 3, 1), 2, posterior_params=4, likelihood_params=2, output_bias=bias
    )
    np.testing.assert_array_equal(decoder(np.zeros((1, 2), "f"))[0], bias)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_mlp_saves_and_reloads_with_every_activation(activation, tmp_path):
    encoder, _ = mlp((4, 4, 1), 2, **CLASSIC, hidden=(3,), activation=activation)
    encoder.save(tmp_path / "encoder.keras")
    reloaded = keras.models.load_model(tmp_path / "encoder.keras")
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype("float32")
    np.testing.assert_array_equal(encoder(x), reloaded(x))


def test_a_number_of_classes_of_numpy_is_saved(tmp_path):
    classes = np.array([0, 3]).max() + 1
    parts = mlp((4, 4, 1), 2, **CLASSIC, hidden=(3,), num_classes=classes)
    for network in parts:
        network.save(tmp_path / "network.keras")
        assert keras.models.load_model(tmp_path / "network.keras").inputs


def test_gated_mlp_multiplies_two_linear_layers():
    encoder, _ = NETWORKS["gated_mlp"](
        (2, 2, 1), 2, **CLASSIC, hidden=(5,), activation="sigmoid"
    )
    x = np.random.default_rng(0).uniform(size=(4, 2, 2, 1)).astype("float32")
    w1, b1, v1, c1, w2, b2 = weights(encoder)
    flat = x.reshape(4, -1)
    hidden = (flat @ w1 + b1) / (1 + np.exp(-(flat @ v1 + c1)))
    np.testing.assert_allclose(encoder(x), hidden @ w2 + b2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_shape": (28, 28)}, "image_shape must be"),
        ({"image_shape": (28, 0, 1)}, "each size in image_shape"),
        ({"hidden": (400, 0)}, "each width in hidden must be a whole number >= 1"),
        ({"hidden": (2.5,)}, "each width in hidden must be a whole number >= 1"),
        ({"latent_dim": 0}, "latent_dim must be a whole number >= 1"),
        ({"activation": "rely"}, "Did you mean 'relu'"),
    ],
)
def test_mlp_rejects_what_it_cannot_build(changes, message):
    arguments = {"image_shape": (4, 4, 1), "latent_dim": 2, **CLASSIC, **changes}
    with pytest.raises(UsageError, match=message):
        mlp(**arguments)
