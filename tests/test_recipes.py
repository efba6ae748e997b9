"""Recipes are options of a run, and their networks are those of the papers."""

import numpy as np
import pytest

from keras_vae.config import TrainConfig
from keras_vae.defaults import CHOSEN, chosen
from keras_vae.errors import UsageError
from keras_vae.flags import as_flags
from keras_vae.recipes import RECIPES, recipe
from keras_vae.train import main

every_recipe = pytest.mark.parametrize("name", RECIPES)


def layers(*widths):
    """The weights and biases of fully connected layers."""
    return sum((a + 1) * b for a, b in zip(widths, widths[1:], strict=False))


BURDA = layers(784, 200, 200, 100) + layers(50, 200, 200, 784)
# a gated layer is two of the same size
GATED = 2 * layers(784, 300, 300) + layers(300, 80)
GATED += 2 * layers(40, 300, 300) + layers(300, 784)
TWO_LEVELS = 2 * layers(784, 300, 300) + layers(300, 80 + 300)
TWO_LEVELS += 2 * (layers(40, 300) + layers(600, 300)) + layers(
    300, 80
)  # q(z_1|x, z_2)
TWO_LEVELS += 2 * layers(40, 300, 300) + layers(300, 80)  # p(z_1|z_2)
TWO_LEVELS += 2 * layers(80, 300, 300) + layers(300, 784)
PARAMETERS = {
    "classic": layers(784, 400, 40) + layers(20, 400, 784),
    "burda_vae": BURDA,
    "burda_iwae_5": BURDA,
    "burda_iwae_50": BURDA,
    "gated_vae": GATED,
    "vampprior": GATED + 500 * 784,  # with its pseudo-inputs
    "two_levels": TWO_LEVELS,
    "two_levels_vampprior": TWO_LEVELS + 500 * 784,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_recipe_makes_the_model_of_its_paper(name):
    from keras_vae.runs.build import build_optimizer, build_vae

    config = chosen(TrainConfig(**recipe(name).options), (28, 28, 1), 60_000)
    mean = np.full((28, 28, 1), 0.1, "float32")
    vae = build_vae(config, (28, 28, 1), None, num_images=60_000, data_mean=mean)
    found = sum(np.prod(weights.shape) for weights in vae.trainable_weights)
    assert found == PARAMETERS[name]
    build_optimizer(config, 60_000)  # its options go together
    assert vae.binarization == "dynamic" and vae.num_samples == config.num_samples


def test_the_classic_recipe_is_the_defaults_on_binarized_pixels():
    config = chosen(TrainConfig(**recipe("classic").options), (28, 28, 1), 60_000)
    more = {"binarization": "dynamic", "validation_images": 0}
    assert config == chosen(TrainConfig(**more), (28, 28, 1), 60_000)


@every_recipe
def test_a_recipe_leaves_little_to_be_chosen(name):
    left = set(CHOSEN) - set(recipe(name).options)
    from_maps = {"latent_dim"} if recipe(name).options["network"] == "ladder" else set()
    assert left == {"likelihood", "precision"} | from_maps


@every_recipe
def test_its_flags_say_the_same(name, monkeypatch):
    made = []
    monkeypatch.setattr("keras_vae.train.train", lambda config, _: made.append(config))
    assert main(as_flags(recipe(name).options).split()) == 0
    assert main(["--recipe", name]) == 0
    assert made == 2 * [TrainConfig(**recipe(name).options)]


def test_help_names_every_recipe(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(f"{name}:" in printed for name in RECIPES)


def test_an_unknown_recipe_is_refused():
    with pytest.raises(UsageError, match=r"recipe 'gated_va'.*mean 'gated_vae'\?"):
        recipe("gated_va")


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({"hidden": (16, 32), "epochs": 3}, "--hidden 16 32 --epochs 3"),
        (
            {"cosine_decay": True, "conditional": False},
            "--cosine-decay --no-conditional",
        ),
        ({"lambda_": 2.5}, "--lambda 2.5"),
        ({}, ""),
    ],
)
def test_options_as_flags(options, flags):
    assert as_flags(options) == flags
