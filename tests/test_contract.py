"""Any combination of the tables' members that makes sense trains, saves and exports.

The full product has thousands of combinations. Refusals are checked on all of those
that matter to them; training, saving and reloading on combinations in which every two
members of different tables meet at least once; XLA and export, which take seconds each,
on few in which every member appears. With KERAS_VAE_EVERY_COMBINATION=1 all of the
tables' 336 sensible combinations train and come back, and all 36 decoders with their
priors are exported; that takes 20 minutes.
"""

import itertools
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from export import export_decoder
from keras_vae.distributions.latents import OneLevel
from keras_vae.distributions.table import LIKELIHOODS, POSTERIORS, PRIORS
from keras_vae.errors import UsageError
from keras_vae.model import VAE
from keras_vae.networks.table import NETWORKS
from keras_vae.objectives.table import OBJECTIVES, check_latents

LATENT_DIM, IMAGES = 2, 12
FEW = {  # parts of a prior
    "mixture": {"num_components": 5},
    "vampprior": {"num_components": 5},
    "flow": {"num_couplings": 2, "hidden": 5},
}
AXES = {
    "posterior": POSTERIORS,
    "prior": PRIORS,
    "objective": OBJECTIVES,
    "likelihood": LIKELIHOODS,
    "network": NETWORKS,
    "data": {"grey": (1, None), "color": (3, None), "labeled": (1, 3)},
    "num_samples": {1: 1, 3: 3},
}


def spelled(combination):
    return "-".join(map(str, combination))


def makes_sense(posterior, prior, objective, *_):
    try:
        latents = OneLevel(POSTERIORS[posterior](2), PRIORS[prior](2))
        check_latents(OBJECTIVES[objective](), latents)
    except UsageError:
        return False
    return True


def covering(strength):
    """Few combinations that hold every `strength` members of different axes."""
    sensible = {
        three: makes_sense(*three)
        for three in itertools.product(POSTERIORS, PRIORS, OBJECTIVES)
    }
    combinations = [c for c in itertools.product(*AXES.values()) if sensible[c[:3]]]
    groups = {
        combination: set(itertools.combinations(enumerate(combination), strength))
        for combination in combinations
    }
    missing, chosen = set().union(*groups.values()), []
    while missing:
        best = max(combinations, key=lambda c: len(groups[c] & missing))
        missing -= groups[best]
        chosen.append(best)
    return chosen


def every(*free):
    """All sensible combinations of some axes, the first member of the others."""
    members = [
        table if name in free else [next(iter(table))] for name, table in AXES.items()
    ]
    return [c for c in itertools.product(*members) if makes_sense(*c[:3])]


if os.environ.get("KERAS_VAE_EVERY_COMBINATION"):
    TRAINED = every("posterior", "prior", "objective", "likelihood", "network")
    EXPORTED = every("prior", "likelihood", "network")
else:
    TRAINED, EXPORTED = covering(2), covering(1)


def build(*combination, jit_compile=False):
    posterior, prior, objective, likelihood, network, data, num_samples = combination
    channels, num_classes = AXES["data"][data]
    posterior = POSTERIORS[posterior](LATENT_DIM, seed=1)
    likelihood = LIKELIHOODS[likelihood]()
    encoder, decoder = NETWORKS[network](
        (8, 8, channels),
        LATENT_DIM,
        posterior_params=posterior.num_params,
        likelihood_params=likelihood.num_params,
        hidden=(4,),
        num_classes=num_classes,
    )
    few = FEW.get(prior, {})
    vae = VAE(
        encoder,
        decoder,
        posterior=posterior,
        prior=PRIORS[prior](LATENT_DIM, **few),
        likelihood=likelihood,
        objective=objective,
        num_samples=num_samples,
        num_classes=num_classes,
    )
    vae.compile("adam", steps_per_execution=2, jit_compile=jit_compile)
    x = np.random.default_rng(0).integers(0, 256, (IMAGES, 8, 8, channels), np.uint8)
    return vae, x, np.arange(IMAGES) % 3


def elbo(vae, x, label):
    with vae.noise_of(0):
        return np.asarray(vae.terms(vae._scaled(x), tf.constant(label)).elbo)


@pytest.mark.parametrize("combination", TRAINED, ids=spelled)
def test_combinations_train_in_fused_steps_and_come_back(combination, tmp_path):
    vae, x, label = build(*combination)
    with tf.GradientTape() as tape:
        terms = vae.terms(
            vae._scaled(x), tf.constant(label), tf.ones(IMAGES), training=True
        )
        losses = vae.objective.loss(terms)
    assert losses.shape == (IMAGES,) and np.isfinite(losses).all()
    weights = vae.trainable_weights
    for weight, gradient in zip(weights, tape.gradient(losses, weights), strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
    before = [weight.numpy() for weight in weights]
    history = vae.fit(x, label, batch_size=6, epochs=1, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert any(np.any(w != b) for w, b in zip(weights, before, strict=True))
    assert all(np.isfinite(weight).all() for weight in weights)
    vae.save(tmp_path / "vae.keras")
    again = keras.saving.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(elbo(vae, x, label), elbo(again, x, label))
    np.testing.assert_array_equal(vae.generate(3, seed=1), again.generate(3, seed=1))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_fused_steps_train_as_single_steps_do(objective):
    """Also those objectives that shape gradients, or draw, inside the loop."""
    weights = []
    for steps in (1, 3):
        vae, x, label = build(
            "diagonal_gaussian", "mixture", objective, "bernoulli", "mlp", "grey", 3
        )
        vae.compile("sgd", steps_per_execution=steps, jit_compile=False)
        vae.fit(x, label, batch_size=4, epochs=1, verbose=0)
        weights.append(vae.get_weights())
    for one, three in zip(*weights, strict=True):
        np.testing.assert_allclose(one, three, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("combination", EXPORTED, ids=spelled)
def test_every_member_trains_under_xla_and_exports(combination, tmp_path, xla):
    vae, x, label = build(*combination, jit_compile="auto")
    history = vae.fit(x, label, batch_size=4, epochs=1, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    errors = export_decoder(vae, tmp_path / "export", ["onnx"])
    assert set(errors) == {"decoder.onnx", "generator.onnx"}
    assert max(errors.values()) <= 1e-5


@pytest.mark.parametrize(
    "three", list(itertools.product(POSTERIORS, PRIORS, OBJECTIVES)), ids=spelled
)
def test_nonsense_is_one_clear_sentence(three):
    if makes_sense(*three):
        return
    posterior, prior, objective = three
    with pytest.raises(UsageError) as error:
        latents = OneLevel(POSTERIORS[posterior](2), PRIORS[prior](2))
        check_latents(OBJECTIVES[objective](), latents)
    message = str(error.value)
    assert message.endswith(".") and "\n" not in message and 40 < len(message) < 200
    with pytest.raises(UsageError, match="needs|mixture of|draws from"):
        build(*three, "bernoulli", "mlp", "grey", 1)
