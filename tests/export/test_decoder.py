import keras
import numpy as np
import pytest

from export import export_decoder
from export.decoder import decoder_mean


def nested_decoder():
    """Layers, operations and a cast of the chosen precision, in and out of a block."""
    layers = keras.layers
    block = keras.Sequential([keras.Input((8,)), layers.Dense(30, "relu")])
    z = keras.Input((3,))
    h = layers.Dense(8, "tanh")(z) * 2.0
    h = keras.ops.cast(h, keras.config.dtype_policy().compute_dtype)
    return keras.Model(z, layers.Reshape((6, 5, 1))(layers.Dense(30)(block(h))))


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


def test_decoder_of_low_precision_is_exported_in_float32(policy, tmp_path, tiny_vae):
    vae = tiny_vae(decoder=nested_decoder())
    for weight in vae.decoder.weights:
        weight.assign(weight + 0.1)
    keras.config.set_dtype_policy("float32")
    plain = nested_decoder()
    plain.set_weights(vae.decoder.get_weights())
    z = np.random.default_rng(0).normal(size=(4, 3)).astype("f4")
    expected = 1 / (1 + np.exp(-plain(z).numpy()))
    keras.config.set_dtype_policy(policy)
    np.testing.assert_allclose(decoder_mean(vae)(z).numpy(), expected, atol=1e-6)
    errors = export_decoder(vae, tmp_path / "export", ["saved_model", "onnx", "keras"])
    assert max(errors.values()) <= 1e-5
    assert vae.decoder.compute_dtype == policy.removeprefix("mixed_")


def test_decoder_of_float32_is_not_copied(tiny_vae):
    vae = tiny_vae()
    assert vae.decoder in decoder_mean(vae).layers


def test_decoder_mean_is_the_mean_of_the_likelihood(tiny_vae):
    vae = tiny_vae()
    z = np.random.default_rng(0).normal(size=(4, 3)).astype("f4")
    logits = vae.decoder(z).numpy()
    images = decoder_mean(vae)(z).numpy()
    np.testing.assert_allclose(images, 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert images.dtype == np.float32
