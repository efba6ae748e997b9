import keras
import numpy as np
import pytest

from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp

SHAPE = (6, 5, 1)


@pytest.fixture(scope="session")
def bytes_():
    """Ten images, uint8: in batches of four the last one is short."""
    return np.random.default_rng(0).integers(0, 256, (10, *SHAPE), np.uint8)


@pytest.fixture(scope="session")
def floats(bytes_):
    return bytes_ / np.float32(255)


@pytest.fixture(scope="session")
def labels():
    return np.arange(10) % 3


@pytest.fixture(scope="session")
def make_vae():
    """Makes small models that begin with the same weights; not compiled by XLA."""

    def make(num_classes=None, steps=2, optimizer="adam", **kwargs):
        encoder, decoder = mlp(
            SHAPE,
            2,
            posterior_params=4,
            likelihood_params=1,
            hidden=(8,),
            num_classes=num_classes,
            seed=1,
        )
        vae = VAE(encoder, decoder, seed=1, num_classes=num_classes, **kwargs)
        vae.compile(optimizer, steps_per_execution=steps, jit_compile=False)
        return vae

    return make


@pytest.fixture(scope="session")
def fresh(make_vae):
    """A model as `make_vae` makes it; the same one each time, which is not traced anew.

    So take from it what is to be kept before asking for it again.
    """
    made = {}

    def begin(num_classes=None):
        if num_classes not in made:
            vae = make_vae(num_classes)
            variables = [*vae.variables, *vae.optimizer.variables]
            made[num_classes] = vae, [(v, v.numpy()) for v in variables]
        vae, start = made[num_classes]
        for variable, value in start:
            variable.assign(value)
        return vae

    return begin


@pytest.fixture(scope="session")
def assert_same():
    """Two models have the same weights, bit for bit, those of the optimizer too."""

    def check(one, other):
        pairs = zip(
            [*one.get_weights(), *one.optimizer.variables],
            [*other.get_weights(), *other.optimizer.variables],
            strict=True,
        )
        for a, b in pairs:
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), b)

    return check
