import numpy as np
import pytest
from scipy.signal import correlate2d

from keras_vae.networks.plain_conv import plain_conv


def relu(x):
    return np.maximum(x, 0)


def convolved(x, kernel, bias):
    """A 3x3 convolution that keeps the size, of one image (H, W, C)."""
    maps = [
        sum(
            correlate2d(x[..., c], kernel[..., c, k], mode="same")
            for c in range(x.shape[-1])
        )
        for k in range(kernel.shape[-1])
    ]
    return np.stack(maps, axis=-1) + bias


def test_plain_conv_computes_convolutions_relu_and_upsampling():
    build = {"posterior_params": 4, "likelihood_params": 2, "hidden": (3, 5)}
    encoder, decoder = plain_conv((6, 5, 1), 2, **build)
    rng = np.random.default_rng(0)
    for weight in [*encoder.weights, *decoder.weights]:
        weight.assign(rng.normal(size=weight.shape))
    x = rng.uniform(size=(6, 5, 1)).astype("f")
    *w, w_last, b_last = (np.asarray(weight) for weight in encoder.weights)
    h = x
    for kernel, bias in zip(w[::2], w[1::2], strict=True):
        # where a size is even, "same" pads at its end alone: every second from 1 on
        starts = [1 - size % 2 for size in h.shape[:2]]
        h = relu(convolved(h, kernel, bias))[starts[0] :: 2, starts[1] :: 2]
    expected = h.reshape(-1) @ w_last + b_last
    np.testing.assert_allclose(encoder(x[None])[0], expected, rtol=1e-4, atol=1e-4)

    z = rng.normal(size=2).astype("f")
    w_first, b_first, *w = (np.asarray(weight) for weight in decoder.weights)
    h = relu(z @ w_first + b_first).reshape(2, 2, 5)
    for k, (rows, columns) in enumerate([(3, 3), (6, 5)]):
        h = h.repeat(2, axis=0).repeat(2, axis=1)
        h = h if len(h) == rows else (h[1:] + h[:-1]) / 2
        h = h if h.shape[1] == columns else (h[:, 1:] + h[:, :-1]) / 2
        h = relu(convolved(h, w[2 * k], w[2 * k + 1]))
    expected = convolved(h, w[4], w[5])
    assert expected.shape == (6, 5, 2)
    np.testing.assert_allclose(decoder(z[None])[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [64, 128])
def test_plain_conv_keeps_the_scale_of_what_passes(size):
    """He et al. (2015): neither grows nor dies with depth, without normalization."""
    build = {"posterior_params": 256, "likelihood_params": 1}
    encoder, decoder = plain_conv((size, size, 3), 128, **build)
    rng = np.random.default_rng(0)
    params = np.asarray(encoder(rng.uniform(size=(4, size, size, 3)).astype("f")))
    output = np.asarray(decoder(rng.normal(size=(4, 128)).astype("f")))
    for values in (params, output):
        assert 0.1 < np.sqrt(np.mean(values**2)) < 2


def test_plain_conv_output_bias_is_the_mean_over_the_pixels():
    bias = np.arange(4 * 4 * 2, dtype="float32").reshape(4, 4, 2)
    build = {"posterior_params": 6, "likelihood_params": 2, "hidden": (4,)}
    _, decoder = plain_conv((4, 4, 1), 3, output_bias=bias, **build)
    layer = decoder.get_layer("likelihood_params")
    np.testing.assert_allclose(layer.bias, bias.mean((0, 1)))
