import pytest

from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp


@pytest.fixture(scope="session")
def tiny_vae():
    """Builds small models, of 6x5 grey pixels and three latents."""

    def build(num_classes=None, activation="relu", decoder=None, **kwargs):
        encoder, built = mlp(
            (6, 5, 1),
            3,
            posterior_params=6,
            likelihood_params=1,
            hidden=(8,),
            activation=activation,
            num_classes=num_classes,
        )
        return VAE(encoder, decoder or built, num_classes=num_classes, **kwargs)

    return build


@pytest.fixture
def short_generator(monkeypatch):
    """One round of noise instead of 16, whose conversion would take most of the time;
    other tests are of the generator."""
    monkeypatch.setattr("keras_vae.distributions.portable_noise.ROUNDS", 1)
