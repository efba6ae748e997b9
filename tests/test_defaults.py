import dataclasses

import pytest

from keras_vae.config import TrainConfig
from keras_vae.defaults import CHOSEN, ONE_LEVEL, chosen, chosen_flags
from keras_vae.errors import UsageError


def choices(config):
    return tuple(getattr(config, name) for name in CHOSEN)


N, F = "standard_normal", "flow"
TEXTBOOK = ("mlp", (400,), (20,), N, "bernoulli", 128, "float32")
LADDER_32 = ("ladder", (32, 64, 128), (64, 64, 256, 1024), F, "bernoulli")


@pytest.mark.parametrize(
    ("image_shape", "num_images", "gpu", "expected"),
    [
        ((28, 28, 1), 59_000, False, TEXTBOOK),
        ((28, 28, 1), 59_000, True, TEXTBOOK),
        ((8, 8, 1), 50, False, TEXTBOOK),
        ((32, 32, 3), 3_000, False, (*LADDER_32, 64, "float32")),
        ((32, 32, 3), 59_000, True, (*LADDER_32, 128, "bfloat16")),
        (
            *((64, 64, 3), 3_000, False),
            ("ladder", (32, 64, 128, 128), (64, 64, 256, 1024), F),
        ),
        (
            *((33, 33, 1), 59_000, False),
            ("plain_conv", (16, 32, 64), (64,), N, "bernoulli", 128, "float32"),
        ),
        (
            *((128, 128, 3), 59_000, False),
            ("plain_conv", (16, 32, 64, 128, 256), (256,), F, "bernoulli", 32),
        ),
        (
            *((256, 256, 3), 100, True),
            ("plain_conv", (16, 32, 64, 128, 256, 256), (512,), F, "bernoulli", 8),
        ),
    ],
)
def test_chosen_by_size_number_and_device(image_shape, num_images, gpu, expected):
    config = chosen(TrainConfig(), image_shape, num_images, gpu=gpu)
    assert choices(config)[: len(expected)] == expected
    assert chosen(config, (28, 28, 1), 59_000) == config  # nothing is left open


def test_objectives_of_one_level_are_those_that_several_cannot_serve():
    from keras_vae.distributions.levels import TopDownPosterior
    from keras_vae.objectives.table import OBJECTIVES

    assert not TopDownPosterior.has_log_prob and not TopDownPosterior.factorizes
    refused = {
        name
        for name, kind in OBJECTIVES.items()
        if kind.needs_log_prob or kind.needs_factorized
    }
    assert set(ONE_LEVEL) == refused


@pytest.mark.parametrize(
    "options",
    [{"latent_dim": 64}, {"posterior": "iaf"}, {"objective": "beta_tcvae"}],
)
def test_what_goes_with_one_level_only_has_a_network_of_one(options):
    config = chosen(TrainConfig(**options), (32, 32, 3), 3_000)
    assert (config.network, config.latent_dim) == ("plain_conv", (64,))
    assert config.prior == "flow"


def test_chosen_leaves_what_was_given():
    given = TrainConfig(
        network="plain_conv",
        hidden=(8,),
        latent_dim=3,
        prior="mixture",
        likelihood="bernoulli",
        batch_size=5,
        precision="float32",
        epochs=7,
    )
    assert chosen(given, (64, 64, 3), 59_000, gpu=True) == given
    assert chosen_flags(given, given) == ""


def test_chosen_for_convolutions_that_were_given():
    config = chosen(TrainConfig(network="plain_conv"), (28, 28, 1), 59_000)
    assert choices(config) == (
        *("plain_conv", (16, 32, 64), (64,)),
        *(N, "bernoulli", 128, "float32"),
    )


def test_flags_say_what_was_chosen_and_give_the_same():
    given = TrainConfig(network="conv")
    config = chosen(given, (64, 64, 3), 59_000)
    assert chosen_flags(given, config) == (
        "--hidden 16 32 64 128 --latent-dim 128 --prior flow --likelihood bernoulli "
        "--batch-size 128 --precision float32"
    )
    said = dataclasses.replace(
        given,
        hidden=(16, 32, 64, 128),
        latent_dim=128,
        prior="flow",
        likelihood="bernoulli",
        batch_size=128,
        precision="float32",
    )
    assert said == config


def test_an_option_of_a_component_that_is_not_chosen_is_refused():
    with pytest.raises(UsageError, match="likelihood bernoulli has no num_mixtures"):
        chosen(TrainConfig(num_mixtures=3), (28, 28, 1), 59_000)
