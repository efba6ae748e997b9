import keras
import numpy as np
import pytest

from keras_vae.networks.table import NETWORKS


def weights(*models):
    return [np.asarray(w) for model in models for w in model.weights]


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


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("image_shape", [(1, 2, 1), (28, 28, 1), (33, 9, 3)])
def test_networks_take_any_size_with_their_own_widths(name, image_shape):
    build = {"posterior_params": 6, "likelihood_params": 2}
    encoder, decoder = NETWORKS[name](image_shape, 3, **build)
    assert encoder(np.zeros((2, *image_shape), "f")).shape == (2, 6)
    height, width, channels = image_shape
    output = decoder(np.zeros((2, 3), "f"))
    assert output.shape == (2, height, width, 2 * channels)
