"""The exported encoder and score, against Keras, scipy and NumPy."""

import keras
import numpy as np
import onnxruntime
import pytest
from scipy import stats

from export import export_decoder
from export.encoder import encode_function, encoder_mean, score_function
from export.parity import Artifact, check_parity, image_batches, scaled_error
from export.to_onnx import OPSET, convert, write_onnx
from keras_vae.config import TrainConfig
from keras_vae.distributions.likelihoods import Gaussian
from keras_vae.distributions.priors import GaussianMixture
from keras_vae.errors import ModelError, UsageError
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp
from keras_vae.runs.build import build_vae

IMAGES = np.random.default_rng(0).random((5, 6, 5, 1), np.float32)
LABELS = np.arange(5) % 3


def small(posterior_params=6, likelihood_params=1, num_classes=None, **options):
    """A model whose weights are none of a beginner's: heads that say something."""
    keras.utils.set_random_seed(0)
    widths = {"posterior_params": posterior_params, "hidden": (8,)}
    widths["likelihood_params"] = likelihood_params
    parts = mlp((6, 5, 1), 3, num_classes=num_classes, **widths)
    return VAE(*parts, num_classes=num_classes, **options)


def ladder(**options):
    options = {"network": "ladder", "hidden": (6, 8), "num_levels": 2, **options}
    return build_vae(
        TrainConfig(latent_channels=2, **options), (10, 9, 1), 3, num_images=10
    )


@pytest.mark.parametrize(
    "build",
    [
        small,
        lambda: small(num_classes=3),
        lambda: small(9, posterior="full_gaussian"),
        lambda: small(prior="vampprior"),
        ladder,
        lambda: ladder(conditional=True, prior="mixture"),
    ],
    ids=["diagonal", "conditional", "full", "vampprior", "ladder", "top prior"],
)
def test_onnx_gives_what_keras_gives(build, tmp_path, short_generator):
    vae = build()
    vae.refresh_prior()
    x = np.random.default_rng(0).random((5, *vae.image_shape), np.float32)
    label = [] if vae.num_classes is None else [LABELS]
    rng = np.random.default_rng(1)
    for weight in vae.encoder.weights:
        weight.assign(weight + rng.normal(size=weight.shape) / 8)
    found = encoder_mean(vae)([x, *label] if label else x)
    expected = vae.encode(x, *label)
    np.testing.assert_allclose(found["mean"], expected, rtol=1e-5, atol=1e-6)
    assert found["log_var"].shape == (5, vae.latent_dim)
    errors = check_parity(vae, write_onnx(vae, tmp_path, with_encoder=True))
    names = ("decoder", "generator", "encoder", "score")
    assert [*errors] == [f"{name}.onnx" for name in names]
    assert max(errors.values()) <= 1e-5
    scored = score_function(vae)(x, *label)
    expected = vae.reconstruct(x, *label)
    np.testing.assert_allclose(scored["reconstruction"], expected, atol=1e-5)


def posterior_of(vae, images):
    """Mean and variance of a diagonal Gaussian, from the encoder, in float64."""
    mean, log_var = np.split(np.float64(vae.encoder(images)), 2, axis=-1)
    return mean, np.exp(log_var)


def run_score(vae, images):
    model = convert(score_function(vae), "score", OPSET)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(["elbo_at_mean"], {"x": images})
    return found


def kl(mean, variance):
    return 0.5 * (mean**2 + variance - np.log(variance) - 1).sum(-1)


def test_score_of_binary_pixels_is_scipys():
    vae, images = small(), np.rint(IMAGES)
    mean, variance = posterior_of(vae, images)
    pixels = 1 / (1 + np.exp(-np.float64(vae.decoder(mean.astype("f4")))))
    log_likelihood = stats.bernoulli(pixels).logpmf(images).sum((1, 2, 3))
    expected = log_likelihood - kl(mean, variance)
    # float32 sums of 30 pixels
    found = run_score(vae, images)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_score_of_gaussian_pixels_is_scipys():
    vae = small(likelihood=Gaussian(sigma=0.2, scale="fixed"))
    mean, variance = posterior_of(vae, IMAGES)
    pixels = np.float64(vae.decoder(mean.astype("f4")))
    log_likelihood = stats.norm(pixels, 0.2).logpdf(IMAGES).sum((1, 2, 3))
    expected = log_likelihood - kl(mean, variance)
    found = run_score(vae, IMAGES)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_score_without_a_closed_form_takes_the_densities_at_the_mean():
    prior = GaussianMixture(3, num_components=2)
    vae = small(prior=prior, likelihood=Gaussian(sigma=0.2, scale="fixed"))
    assert not vae.latents.has_closed_form_kl
    mean, variance = posterior_of(vae, IMAGES)
    pixels = np.float64(vae.decoder(mean.astype("f4")))
    log_likelihood = stats.norm(pixels, 0.2).logpdf(IMAGES).sum((1, 2, 3))
    log_q = stats.norm(mean, np.sqrt(variance)).logpdf(mean).sum(-1)
    parts = [stats.norm(m, 1).pdf(mean).prod(-1) for m in np.float64(prior.mean)]
    expected = log_likelihood + np.log(np.mean(parts, axis=0)) - log_q
    found = run_score(vae, IMAGES)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_score_of_a_linear_decoder_is_the_elbo_and_a_constant():
    """For x = W z + noise the elbo's draws cost the trace of W W^T, and no more."""
    z = keras.Input((3,))
    linear = keras.layers.Dense(30)
    decoder = keras.Model(z, keras.layers.Reshape((6, 5, 1))(linear(z)))
    encoder, _ = mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1)
    vae = VAE(encoder, decoder, likelihood=Gaussian(sigma=0.5, scale="fixed"))
    _, variance = posterior_of(vae, IMAGES)
    weights = np.float64(linear.kernel)  # (3, 30)
    cost = (variance * (weights**2).sum(1)).sum(-1) / (2 * 0.5**2)
    terms = vae.terms(IMAGES, num_samples=20_000)
    elbo = np.float64(terms.log_likelihood).mean(0) - np.sum(terms.kl_by_group, -1)
    error = np.float64(terms.log_likelihood).std(0) / np.sqrt(20_000)
    difference = np.float64(score_function(vae)(IMAGES)["elbo_at_mean"]) - cost - elbo
    assert (np.abs(difference) < 5 * error + 1e-4).all()


def test_posterior_without_a_variance_is_refused(tmp_path):
    vae = small(9, posterior="iaf")
    with pytest.raises(UsageError, match="mean and log_var, which .* IAF does not"):
        encoder_mean(vae)
    with pytest.raises(UsageError, match="diagonal_gaussian or full_gaussian"):
        export_decoder(vae, tmp_path / "export", ["onnx"], with_encoder=True)
    assert list(tmp_path.iterdir()) == []


def test_random_layer_in_the_encoder_is_refused():
    @keras.saving.register_keras_serializable("test_encoder")
    class Noise(keras.layers.Layer):
        def call(self, x):
            return x + keras.random.normal(keras.ops.shape(x))

    x = keras.Input((6, 5, 1))
    h = Noise()(keras.layers.Dense(6)(keras.layers.Flatten()(x)))
    _, decoder = mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1)
    vae = VAE(keras.Model(x, h), decoder)
    with pytest.raises(ModelError, match="The encoder draws random numbers"):
        encode_function(encoder_mean(vae))


@pytest.mark.parametrize("build", [small, ladder], ids=["mlp", "ladder"])
def test_encoder_of_low_precision_is_exported_in_float32(build):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        low = build()
    finally:
        keras.config.set_dtype_policy("float32")
    plain = build()
    plain.set_weights(low.get_weights())
    x = np.random.default_rng(0).random((5, *low.image_shape), np.float32)
    expected, found = encoder_mean(plain)(x), encoder_mean(low)(x)
    for name in ("mean", "log_var"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)
    expected, found = score_function(plain)(x), score_function(low)(x)
    np.testing.assert_allclose(
        found["elbo_at_mean"], expected["elbo_at_mean"], rtol=1e-6
    )


def test_wrong_encoder_and_wrong_score_are_found():
    vae = small()
    encode, score = encode_function(encoder_mean(vae)), score_function(vae)

    def off(function, name, shift):
        def run(x):
            found = {key: value.numpy() for key, value in function(x).items()}
            found[name] = found[name] + np.float32(shift)
            order = ("elbo_at_mean", "reconstruction", "mean", "log_var")
            return tuple(found[key] for key in order if key in found)

        return run

    artifacts = [
        Artifact("right", encode=off(encode, "mean", 0), score=off(score, "mean", 0)),
        Artifact("mean", encode=off(encode, "mean", 1e-3)),
        Artifact("log_var", encode=off(encode, "log_var", 1e-3)),
        Artifact("nats", score=off(score, "elbo_at_mean", 0.1)),
        Artifact("pixels", score=off(score, "reconstruction", 1e-3)),
    ]
    errors = check_parity(vae, artifacts)
    assert errors.pop("right") == 0 and min(errors.values()) > 5e-4


def test_images_that_encoders_are_compared_on_are_images():
    batches = [x for (x,) in image_batches(small())]
    assert [len(x) for x in batches] == [1] * 6 + [7] * 6 + [64] * 6
    for grey, binary in zip(batches[::2], batches[1::2], strict=True):
        assert grey.dtype == binary.dtype == np.float32
        assert grey.min() >= 0 and grey.max() <= 1
        assert {*binary.ravel()} <= {0, 1}


def test_scaled_error_is_relative_to_an_images_largest_value_above_one():
    expected = np.float32([[0.5, 0.25], [-200.0, 0.5]])

    def off(row, column, by):
        values = expected.copy()
        values[row, column] += by
        return scaled_error(values, expected)

    assert off(0, 1, 0.25) == 0.25
    assert off(1, 0, 1) == pytest.approx(0.005, rel=1e-4)
    assert off(1, 1, 1) == pytest.approx(0.005, rel=1e-4)
    assert scaled_error(expected[:, :1], expected) == np.inf
    assert off(0, 0, np.nan) == np.inf
    nats = np.float32([-2000])
    assert scaled_error(nats + 1, nats) == pytest.approx(0.0005, rel=1e-4)
