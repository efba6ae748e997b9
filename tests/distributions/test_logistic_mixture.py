import numpy as np
import pytest
from scipy import special, stats

from keras_vae.distributions.logistic_mixture import DiscretizedLogisticMixture


def test_discretized_logistic_mixture_matches_the_definition(rng):
    likelihood = DiscretizedLogisticMixture(num_mixtures=3)
    params = rng.normal(size=(4, 2, 2, 2 * 4 * 3, 1))[..., 0].astype("float32")
    params = np.concatenate([params, params[..., :12]], -1)  # (4, 2, 2, 36), C = 3
    x = rng.integers(256, size=(4, 2, 2, 3)) / 255.0
    p = np.float64(params).reshape(4, 2, 2, 4, 3, 3)
    weight = special.softmax(p[..., 0, :, :].mean(-1), -1)  # (4, 2, 2, M)
    mean, scale, c = p[..., 1, :, :], np.exp(p[..., 2, :, :]), np.tanh(p[..., 3, :, :])
    v = 2 * x[..., None, :] - 1
    mean = np.stack(
        [
            mean[..., 0],
            mean[..., 1] + c[..., 0] * v[..., 0],
            mean[..., 2] + c[..., 1] * v[..., 0] + c[..., 2] * v[..., 1],
        ],
        -1,
    )
    upper = np.where(v > 0.999, np.inf, v + 1 / 255)
    lower = np.where(v < -0.999, -np.inf, v - 1 / 255)
    mass = stats.logistic.cdf(upper, mean, scale) - stats.logistic.cdf(
        lower, mean, scale
    )
    expected = np.log((weight * mass.prod(-1)).sum(-1)).sum((-2, -1))
    actual = likelihood.log_prob(params, x.astype("float32"))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize("log_scale", [-50.0, -7.0, -3.0, 0.0, 4.0, 50.0])
@pytest.mark.parametrize("mean", [-3.0, -1.0, 0.1, 0.5, 40.0])
def test_discretized_logistic_mixture_sums_to_one(log_scale, mean):
    likelihood = DiscretizedLogisticMixture(num_mixtures=2)
    params = np.float32([0.3, -0.5, mean, -mean, log_scale, log_scale, 0, 0])
    x = (np.arange(256, dtype="float32") / 255).reshape(-1, 1, 1, 1)
    log_prob = np.float64(likelihood.log_prob(params.reshape(1, 1, 1, 8), x))
    assert np.isfinite(log_prob).all()
    probability = np.exp(log_prob)
    # the logs are of masses as small as exp(-900); rounding of their largest is 1e-5
    np.testing.assert_allclose(probability.sum(), 1.0, rtol=2e-5)
    expected = (probability * x.ravel()).sum()
    actual = np.ravel(likelihood.mean(params.reshape(1, 1, 1, 8)))
    np.testing.assert_allclose(actual, expected, atol=0.51 / 255)


def test_discretized_logistic_mixture_samples_follow_the_probabilities(rng):
    likelihood = DiscretizedLogisticMixture(num_mixtures=2)
    pixel = np.float32([0.5, -0.5, -0.4, 0.6, -3.0, -2.0, 0, 0])
    params = np.broadcast_to(pixel, (1, 200, 200, 8))
    samples = np.ravel(likelihood.sample(params, seed=4))
    levels = np.rint(samples * 255).astype(int)
    np.testing.assert_allclose(samples, levels / 255, atol=1e-6)
    x = (np.arange(256, dtype="float32") / 255).reshape(-1, 1, 1, 1)
    expected = np.exp(np.float64(likelihood.log_prob(pixel.reshape(1, 1, 1, 8), x)))
    observed = np.bincount(levels, minlength=256)
    coarse = lambda p: p.reshape(16, 16).sum(1)  # noqa: E731  bins large enough for chi2
    expected = coarse(expected) / expected.sum() * samples.size
    assert stats.chisquare(coarse(observed), expected).pvalue > 1e-3


def test_discretized_logistic_mixture_color_mean_is_near_the_sample_mean(rng):
    likelihood = DiscretizedLogisticMixture(num_mixtures=2)
    pixel = rng.normal(scale=0.4, size=24).astype("float32")
    pixel[12:18] -= 2.5  # scales of about 0.08
    samples = likelihood.sample(np.broadcast_to(pixel, (1, 100, 100, 24)), seed=5)
    actual = likelihood.mean(pixel.reshape(1, 1, 1, 24))
    np.testing.assert_allclose(np.ravel(actual), np.mean(samples, (0, 1, 2)), atol=0.02)


@pytest.mark.parametrize("log_scale", [-7.0, -1.0, 1.3, 1.5, 3.0, 7.0])
def test_discretized_logistic_mixture_mean_is_exact_at_every_scale(log_scale):
    """Against the closed form in float64, which overflows and cancels in float32."""
    mean = np.float32([-300, -3, -1, -0.2, 0, 0.5, 1, 20, 3000])
    params = np.zeros((9, 1, 1, 4), np.float32)
    params[:, 0, 0, 1], params[:, 0, 0, 2] = mean, log_scale
    s, m = np.exp(np.float64(log_scale)), np.float64(mean)
    ends = np.logaddexp(0, (m + 1) / s) - np.logaddexp(0, (m - 1) / s)
    actual = DiscretizedLogisticMixture(num_mixtures=1).mean(params)
    np.testing.assert_allclose(np.ravel(actual), s * ends / 2, atol=5e-7)
