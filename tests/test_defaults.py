import dataclasses

import pytest

from keras_vae.config import TrainConfig
from keras_vae.defaults import CHOSEN, chosen, chosen_flags
from keras_vae.errors import UsageError


def choices(config):
    return tuple(getattr(config, name) for name in CHOSEN)


TEXTBOOK = ("mlp", (400,), (20,), "bernoulli", 128, "float32")


@pytest.mark.parametrize(
    ("image_shape", "num_images", "gpu", "expected"),
    [
        ((28, 28, 1), 59_000, False, TEXTBOOK),
        ((28, 28, 1), 59_000, True, TEXTBOOK),
        ((8, 8, 1), 50, False, TEXTBOOK),
        (
            *((28, 28, 3), 59_000, False),
            ("plain_conv", (16, 32, 64), (64,), "bernoulli", 128, "float32"),
        ),
        (
            *((33, 33, 1), 59_000, False),
            ("plain_conv", (16, 32, 64), (64,), "bernoulli", 128, "float32"),
        ),
        (
            *((64, 64, 3), 3_000, False),
            ("plain_conv", (16, 32, 64, 128), (128,), "bernoulli", 64, "float32"),
        ),
        (
            *((64, 64, 3), 59_000, True),
            ("plain_conv", (16, 32, 64, 128), (128,), "bernoulli", 128, "bfloat16"),
        ),
        (
            *((128, 128, 3), 59_000, False),
            ("plain_conv", (16, 32, 64, 128, 256), (256,), "bernoulli", 32, "float32"),
        ),
        (
            *((256, 256, 3), 100, True),
            (
                "plain_conv",
                (16, 32, 64, 128, 256, 256),
                (512,),
                "bernoulli",
                8,
                "bfloat16",
            ),
        ),
    ],
)
def test_chosen_by_size_number_and_device(image_shape, num_images, gpu, expected):
    config = chosen(TrainConfig(), image_shape, num_images, gpu=gpu)
    assert choices(config) == expected
    assert chosen(config, (28, 28, 1), 59_000) == config  # nothing is left open


def test_chosen_leaves_what_was_given():
    given = TrainConfig(
        network="plain_conv",
        hidden=(8,),
        latent_dim=3,
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
        *("bernoulli", 128, "float32"),
    )


def test_flags_say_what_was_chosen_and_give_the_same():
    given = TrainConfig(network="conv")
    config = chosen(given, (64, 64, 3), 59_000)
    assert chosen_flags(given, config) == (
        "--hidden 16 32 64 128 --latent-dim 128 --likelihood bernoulli "
        "--batch-size 128 --precision float32"
    )
    said = dataclasses.replace(
        given,
        hidden=(16, 32, 64, 128),
        latent_dim=128,
        likelihood="bernoulli",
        batch_size=128,
        precision="float32",
    )
    assert said == config


def test_an_option_of_a_component_that_is_not_chosen_is_refused():
    with pytest.raises(UsageError, match="likelihood bernoulli has no num_mixtures"):
        chosen(TrainConfig(num_mixtures=3), (28, 28, 1), 59_000)
