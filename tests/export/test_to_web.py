from types import SimpleNamespace

import numpy as np

from export.to_web import importance, latent_range
from keras_vae.distributions.latents import OneLevel
from keras_vae.distributions.posteriors import DiagonalGaussian
from keras_vae.distributions.priors import StandardNormal


def test_importance_is_the_share_of_the_variance(tiny_vae):
    """Of a linear decoder, each latent's share is its squared weights' share."""
    weights = np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])

    def decode(z):
        return (z @ weights)[:, None, :, None]

    shares = importance(tiny_vae(), decode)
    assert shares.shape == (3,) and shares[2] == 0
    np.testing.assert_allclose(shares[:2], [0.9, 0.1], atol=0.3)
    assert shares[0] > 4 * shares[1]


def test_standard_normal_latents_range_from_minus_4_to_4(tiny_vae):
    np.testing.assert_array_equal(latent_range(tiny_vae()), [[-4, 4]] * 3)


def test_other_latents_range_over_four_standard_deviations():
    class Shifted(StandardNormal):
        def from_noise(self, normal, uniform):
            return 5 + 2 * normal

    latents = OneLevel(DiagonalGaussian(3), Shifted(3))
    low, high = latent_range(SimpleNamespace(latent_dim=3, latents=latents)).T
    np.testing.assert_allclose(low, -3, atol=0.5)
    np.testing.assert_allclose(high, 13, atol=0.5)
