import keras
import numpy as np
import pytest

from keras_vae.errors import UsageError
from keras_vae.networks import ACTIVATIONS, NETWORKS, conv, mlp

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


def test_gated_mlp_multiplies_two_linear_layers():
    encoder, _ = NETWORKS["gated_mlp"](
        (2, 2, 1), 2, **CLASSIC, hidden=(5,), activation="sigmoid"
    )
    x = np.random.default_rng(0).uniform(size=(4, 2, 2, 1)).astype("float32")
    w1, b1, v1, c1, w2, b2 = weights(encoder)
    flat = x.reshape(4, -1)
    hidden = (flat @ w1 + b1) / (1 + np.exp(-(flat @ v1 + c1)))
    np.testing.assert_allclose(encoder(x), hidden @ w2 + b2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("image_shape", [(4, 4, 1), (8, 12, 3), (28, 28, 1)])
def test_conv_takes_any_size_divisible_by_four(image_shape):
    build = {"posterior_params": 6, "likelihood_params": 2, "hidden": (4, 6)}
    encoder, decoder = conv(image_shape, 3, **build)
    height, width, channels = image_shape
    assert encoder(np.zeros((2, *image_shape), "f")).shape == (2, 6)
    output = decoder(np.zeros((2, 3), "f"))
    assert output.shape == (2, height, width, 2 * channels)


def test_conv_depth_is_the_number_of_widths():
    build = {"posterior_params": 6, "likelihood_params": 1}
    encoder, decoder = conv((16, 16, 1), 3, hidden=(2, 4, 8), **build)
    shapes = [layer.output.shape[1] for layer in encoder.layers[1:-2]]
    assert shapes[0] == 16 and shapes[-1] == 2
    assert decoder.output_shape == (None, 16, 16, 1)


def test_conv_output_bias_is_the_mean_over_the_pixels():
    bias = np.arange(4 * 4 * 2, dtype="float32").reshape(4, 4, 2)
    build = {"posterior_params": 6, "likelihood_params": 2, "hidden": (4,)}
    _, decoder = conv((4, 4, 1), 3, output_bias=bias, **build)
    layer = decoder.get_layer("likelihood_params")
    np.testing.assert_allclose(layer.bias, bias.mean((0, 1)))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("num_classes", [None, 5])
def test_networks_have_the_same_interface(name, num_classes, tmp_path):
    build = {"posterior_params": 6, "likelihood_params": 4, "hidden": (8, 16)}
    build |= {"activation": "elu", "num_classes": num_classes}
    encoder, decoder = NETWORKS[name]((8, 8, 2), 3, seed=1, **build)
    again = NETWORKS[name]((8, 8, 2), 3, seed=1, **build)
    for a, b in zip(weights(encoder, decoder), weights(*again), strict=True):
        np.testing.assert_array_equal(a, b)
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(2, 8, 8, 2)).astype("float32")
    z = rng.normal(size=(2, 3)).astype("float32")
    for model, features, name in [(encoder, x, "x"), (decoder, z, "z")]:
        model.save(tmp_path / "model.keras")
        reloaded = keras.models.load_model(tmp_path / "model.keras")
        inputs = [features] if num_classes is None else [features, np.array([0, 4])]
        inputs = [keras.ops.convert_to_tensor(i) for i in inputs]
        inputs = inputs if num_classes else inputs[0]
        np.testing.assert_array_equal(model(inputs), reloaded(inputs))
        assert [tensor.name for tensor in model.inputs][0] == name
        assert len(model.inputs) == (1 if num_classes is None else 2)
        if num_classes:
            other = [inputs[0], keras.ops.convert_to_tensor(np.array([1, 4]))]
            change = np.abs(np.subtract(model(inputs), model(other)))
            assert change[0].max() > 1e-4 and change[1].max() == 0
    assert encoder.output_shape == (None, 6)
    assert decoder.output_shape == (None, 8, 8, 8)


@pytest.mark.parametrize("hidden", [(), (4, 8, 16)])
def test_conv_rejects_images_that_it_cannot_halve(hidden):
    with pytest.raises(UsageError, match="height and width must be divisible by"):
        conv((28, 28, 1), 3, posterior_params=6, likelihood_params=1, hidden=hidden)


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
