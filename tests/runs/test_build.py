import keras
import numpy as np
import pytest

from keras_vae.config import TrainConfig
from keras_vae.errors import UsageError
from keras_vae.runs.build import build_optimizer, build_vae
from keras_vae.training.optimizers import OPTIMIZERS

SHAPE = (8, 8, 1)


def build(**options):
    return build_vae(TrainConfig(hidden=(6,), **options), SHAPE, num_images=64)


def images(number):
    return np.random.default_rng(0).integers(0, 256, (number, *SHAPE), np.uint8)


@pytest.mark.parametrize(
    "part, name, options",
    [
        ("posterior", "iaf", {"num_flows": 3}),
        ("prior", "mixture", {"num_components": 7}),
        ("prior", "vampprior", {"num_components": 7}),
        ("prior", "flow", {"num_couplings": 3}),
        ("likelihood", "gaussian", {"sigma": 0.3, "scale": "predicted"}),
        ("likelihood", "discretized_logistic_mixture", {"num_mixtures": 2}),
        ("objective", "elbo", {"beta": 2.0, "free_bits": 0.5}),
        ("objective", "beta_tcvae", {"beta": 3.0}),
    ],
)
def test_options_reach_their_component(part, name, options):
    made = getattr(build(**{part: name}, **options), part).get_config()
    assert {option: made[option] for option in options} == options


def test_warmup_is_given_in_epochs():
    vae = build(kl_warmup=1.5, warmup_cycles=3, batch_size=10)  # 7 steps an epoch
    made = vae.objective.get_config()
    assert (made["warmup_steps"], made["warmup_cycles"]) == (round(1.5 * 7), 3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_flows": 3}, "The posterior diagonal_gaussian has no num_flows.* iaf"),
        ({"num_components": 3}, "standard_normal has no .* mixture or vampprior"),
        ({"sigma": 0.3}, "The likelihood bernoulli has no sigma; .* gaussian"),
        ({"num_mixtures": 3}, "discretized_logistic_mixture"),
        ({"objective": "iwae", "kl_warmup": 1.0}, "iwae has no kl_warmup; .* elbo"),
        ({"objective": "dreg", "beta": 2.0}, "elbo or beta_tcvae"),
        ({"likelihood": "gaussian", "sigma": -1.0}, "sigma"),
        ({"prior": "mixture", "num_components": 0}, "num_components"),
    ],
)
def test_an_option_of_another_component_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        build(**options)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_improves_the_bound_in_fused_steps(name):
    config = TrainConfig(optimizer=name, hidden=(6,), learning_rate=1e-2)
    vae = build_vae(config, SHAPE, num_images=64)
    vae.compile(build_optimizer(config, 64), steps_per_execution=4)
    history = vae.fit(images(64), batch_size=16, epochs=5, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0]
    assert vae.optimizer.iterations == 20


def test_cosine_decay_ends_at_zero_with_the_last_epoch():
    config = TrainConfig(learning_rate=0.5, cosine_decay=True, epochs=3, batch_size=16)
    rate = build_optimizer(config, 60)._learning_rate  # 4 steps an epoch
    expected = 0.5 * (1 + np.cos(np.pi * np.arange(13) / 12)) / 2
    np.testing.assert_allclose([rate(step) for step in range(13)], expected, atol=1e-7)
    assert build_optimizer(TrainConfig(), 60).learning_rate == TrainConfig.learning_rate


@pytest.mark.parametrize("cosine_decay", [False, True])
def test_the_warmup_of_the_learning_rate_is_given_in_epochs(cosine_decay):
    config = TrainConfig(
        learning_rate=0.5,
        learning_rate_warmup=1.5,
        cosine_decay=cosine_decay,
        epochs=3,
        batch_size=16,
    )
    rate = build_optimizer(config, 60)._learning_rate  # 4 steps an epoch
    found = [float(rate(step)) for step in (0, 3, 6, 12)]
    expected = [0, 0.25, 0.5, 0 if cosine_decay else 0.5]
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_options_of_the_optimizer_reach_it(name):
    config = TrainConfig(optimizer=name, clip_norm=2.5, ema=0.75)
    made = build_optimizer(config, 64).get_config()
    names = ("global_clipnorm", "use_ema", "ema_momentum")
    assert [made[name] for name in names] == [2.5, True, 0.75]


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_precision_is_that_of_the_products_and_trains_alike(precision):
    """As float32, but for what its products round: 2^-11 or 2^-8 of each."""
    elbo = {}
    for name in ("float32", precision):
        vae = build(precision=name, learning_rate=1e-2)
        config = TrainConfig(precision=name, learning_rate=1e-2)
        optimizer = build_optimizer(config, 64)
        vae.compile(optimizer, steps_per_execution=4, jit_compile=False)
        history = vae.fit(images(64), batch_size=16, epochs=8, verbose=0).history
        elbo[name] = history["elbo"]
        assert vae.optimizer.iterations == 32
    assert elbo["float32"][-1] > elbo["float32"][0] + 0.2
    assert elbo[precision] == pytest.approx(elbo["float32"], abs=0.1)
    assert {layer.compute_dtype for layer in vae.decoder.layers[1:]} == {precision}
    assert {weight.dtype for weight in vae.trainable_weights} == {"float32"}
    scaled = vae.optimizer.scale_loss(keras.ops.ones(()))
    assert (scaled > 1) == (precision == "float16")
    assert vae.generate(2).dtype == np.float32
