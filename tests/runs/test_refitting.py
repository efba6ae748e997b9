import numpy as np
import pytest
from scipy import stats

from keras_vae.config import TrainConfig
from keras_vae.data.splits import ArraySplit
from keras_vae.distributions.flow import Flow
from keras_vae.distributions.priors import GaussianMixture
from keras_vae.errors import UsageError
from keras_vae.runs.build import build_vae
from keras_vae.runs.refitting import fit_prior, with_prior

MEAN, LOG_VAR = np.float32([0.5, -1.0, 2.0]), np.float32([-2.0, 0.0, -1.0])
PRIORS = {
    "mixture": lambda: GaussianMixture(3, num_components=2),
    "flow": lambda: Flow(3, num_couplings=2, hidden=8, seed=0),
}


@pytest.fixture
def gaussian(small_vae):
    """Makes a model that encodes every image to N(MEAN, exp(LOG_VAR))."""

    def gaussian(prior):
        vae = small_vae(prior=PRIORS[prior]())
        *_, kernel, bias = vae.encoder.trainable_weights
        kernel.assign(np.zeros(kernel.shape))
        bias.assign(np.concatenate([MEAN, LOG_VAR]))
        return vae

    return gaussian


@pytest.mark.parametrize("name", ["mixture", "flow"])
def test_the_loss_falls_to_the_entropy_of_the_latents(gaussian, images, name):
    vae = gaussian(name)
    split = ArraySplit(images(10_000))
    rows = fit_prior(vae, split, epochs=6, batch_size=200, learning_rate=0.02)
    entropy = stats.norm(0, np.exp(LOG_VAR / 2)).entropy().sum()
    # the mean over 10,000 draws of three latents: a standard error of 0.012
    assert rows[-1]["loss"] == pytest.approx(entropy, abs=0.05)
    draws = np.asarray(vae.prior.sample(4_000, seed=1))
    np.testing.assert_allclose(draws.mean(0), MEAN, atol=0.1)
    np.testing.assert_allclose(draws.std(0), np.exp(LOG_VAR / 2), rtol=0.1)


@pytest.mark.parametrize("name", PRIORS)
def test_only_the_prior_is_changed_and_the_seed_decides_all(gaussian, images, name):
    found = []
    for seed in (0, 0, 1):
        vae = gaussian(name)
        noise = [state.numpy() for state in vae._noise_states]
        own = {weight.path for weight in vae.prior.weights}
        others = [weight for weight in vae.weights if weight.path not in own]
        before = [weight.numpy() for weight in others]
        split = ArraySplit(images(60))
        fit_prior(vae, split, split, epochs=2, batch_size=7, seed=seed)
        for weight, value in zip(others, before, strict=True):
            np.testing.assert_array_equal(weight, value)
        for state, value in zip(vae._noise_states, noise, strict=True):
            np.testing.assert_array_equal(state, value)
        found.append([w.numpy() for w in vae.prior.trainable_weights])
    one, same, other = found
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(np.any(a != b) for a, b in zip(one, other, strict=True))


def test_the_epoch_with_the_least_validation_loss_is_kept(small_vae, images):
    """What is learned of three images by heart is not of others."""
    vae = small_vae(prior=GaussianMixture(3, num_components=4))
    vae.encoder.trainable_weights[-1].assign([0, 0, 0, -6, -6, -6])  # narrow
    train, validation = ArraySplit(images(3)), ArraySplit(images(50, seed=1))
    options = {"batch_size": 3, "learning_rate": 0.2, "seed": 3}
    rows = fit_prior(vae, train, validation, epochs=30, **options)
    losses = [row["val_loss"] for row in rows]
    assert rows[-1]["loss"] < rows[0]["loss"] and min(losses) < losses[-1]
    again = small_vae(prior=GaussianMixture(3, num_components=4))
    again.encoder.set_weights(vae.encoder.get_weights())
    others = fit_prior(again, train, None, epochs=30, **options)
    assert [row["loss"] for row in others] == [row["loss"] for row in rows]
    assert any(
        np.any(a != b)
        for a, b in zip(vae.get_weights(), again.get_weights(), strict=True)
    )


def test_fewer_images_than_a_batch_or_components_will_do(small_vae, images):
    vae = small_vae(prior=GaussianMixture(3, num_components=9))
    rows = fit_prior(vae, ArraySplit(images(5)), epochs=2, batch_size=128)
    assert [row["epoch"] for row in rows] == [1, 2] and "val_loss" not in rows[0]
    assert np.isfinite([row["loss"] for row in rows]).all()


FACTS = {"num_classes": 3, "num_images": 54}


@pytest.mark.parametrize(
    "options", [{}, {"conditional": True, "network": "conv", "hidden": (4,)}]
)
def test_a_model_with_another_prior_encodes_and_decodes_alike(images, options):
    config = TrainConfig(**{"hidden": (8,), "latent_dim": 4, **options})
    vae = build_vae(config, (8, 8, 1), **FACTS)
    for weight in vae.trainable_weights:
        weight.assign(weight + 0.1)
    x, label = images(6, (8, 8, 1)), np.arange(6) % 3
    flow = TrainConfig(**{"hidden": (8,), "latent_dim": 4, "prior": "flow", **options})
    new = with_prior(vae, flow, FACTS)
    assert type(new.prior) is Flow
    labels = label if options else None
    expected = vae.reconstruct(x, labels)
    np.testing.assert_array_equal(new.reconstruct(x, labels), expected)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("standard_normal", "standard_normal has no weights to fit; choose"),
        ("vampprior", "vampprior is made of posteriors, and learned together with"),
    ],
)
def test_a_prior_that_cannot_be_fitted_is_refused(small_vae, prior, message):
    config = TrainConfig(hidden=(8,), latent_dim=3, prior=prior)
    with pytest.raises(UsageError, match=message):
        with_prior(small_vae(), config, FACTS)
