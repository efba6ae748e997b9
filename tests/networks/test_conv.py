import numpy as np

from keras_vae.networks.conv import conv


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


def test_conv_rounds_an_odd_size_up_and_comes_back_to_it():
    """A map of 5 becomes 3, then 6 with 5 means between them."""
    build = {"posterior_params": 2, "likelihood_params": 1, "hidden": (4,)}
    encoder, decoder = conv((5, 4, 1), 1, **build)
    assert [layer.output.shape[1:3] for layer in encoder.layers][-4] == (3, 2)
    assert decoder.output_shape == (None, 5, 4, 1)
    x = np.zeros((2, 5, 4, 1), "f")
    x[1, -1, -1] = 1.0
    first, second = np.asarray(encoder(x))
    assert np.abs(first - second).max() > 1e-4
