"""What a flag says goes before a recipe or a config.json, and those before defaults."""

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from keras_vae.config import TrainConfig
from keras_vae.defaults import chosen
from keras_vae.errors import ModelError
from keras_vae.recipes import RECIPES
from keras_vae.runs.typed import (
    IMAGES,
    TypedOptions,
    command_of,
    images_of_config,
    options_beneath,
)
from keras_vae.train import main

FACTS = {
    "name": "digits",
    "image_shape": [28, 28, 1],
    "num_classes": 10,
    "num_images": 4050,
    "class_names": None,
}
CONFIG = TrainConfig(
    output=Path("old"),
    overwrite=True,
    elsewhere=True,
    epochs=7,
    devices=2,
    network="gated_mlp",
    hidden=(30, 20),
    latent_dim=9,
    prior="mixture",
    num_components=11,
    objective="beta_tcvae",
    alpha=0.5,
)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(CONFIG.to_json()) | {"data": FACTS}))
    return path


@pytest.fixture
def asked(monkeypatch):
    """From a command line to the config, and the facts, that a training has of it."""

    def asked(*argv):
        made = []
        with monkeypatch.context() as patch:
            patch.setattr("keras_vae.train.train", lambda *given: made.append(given))
            assert main([str(argument) for argument in argv]) == 0
        return made[0]

    return asked


def test_a_flag_goes_before_the_recipe_also_where_it_says_the_default(asked):
    flags = ["--learning-rate", "0.001", "--no-cosine-decay", "--epochs", "3"]
    config, data = asked("--recipe", "burda_vae", *flags)
    more = {"learning_rate": 1e-3, "cosine_decay": False, "epochs": 3}
    assert config == TrainConfig(**RECIPES["burda_vae"].options | more)
    assert data is None


def test_an_option_of_a_component_is_overridden_under_its_recipe(asked):
    config, _ = asked("--recipe", "vampprior", "--num-components", "50")
    assert (config.prior, config.num_components) == ("vampprior", 50)


@pytest.mark.parametrize(
    ("flags", "gone"),
    [
        ("--prior standard_normal", {"num_components"}),
        ("--prior mixture", {"num_components"}),
        ("--network plain_conv", {"hidden", "activation"}),
        ("--optimizer adam", {"learning_rate"}),
        ("--objective iwae", {"kl_warmup"}),
        ("--optimizer muon --prior vampprior --network gated_mlp", set()),
    ],
)
def test_another_component_comes_with_its_own_options(asked, flags, gone):
    config, _ = asked("--recipe", "vampprior", *flags.split())
    options = {k: v for k, v in RECIPES["vampprior"].options.items() if k not in gone}
    words = flags.replace("--", "").split()
    typed: dict[str, Any] = dict(zip(words[::2], words[1::2], strict=True))
    assert config == TrainConfig(**options | typed)


def test_what_is_typed_of_another_component_is_kept(asked):
    flags = ["--network", "mlp", "--hidden", "300", "300"]
    config, _ = asked("--recipe", "gated_vae", *flags)
    assert (config.hidden, config.activation) == ((300, 300), "relu")


@pytest.mark.parametrize("which", ["config.json", "."])
def test_a_config_is_repeated_but_for_where_it_is_written(asked, config, which):
    again, data = asked("--config", config.parent / which)
    once = {"output": TrainConfig().output, "overwrite": False, "elsewhere": False}
    assert again == TrainConfig(**vars(CONFIG) | once)
    assert data == FACTS


def test_a_flag_goes_before_the_config(asked, config):
    flags = "--seed 3 --prior standard_normal --objective elbo --output new".split()
    again, data = asked("--config", config, *flags)
    assert (again.seed, again.epochs, again.latent_dim) == (3, 7, (9,))
    assert (again.prior, again.num_components) == ("standard_normal", None)
    assert (again.objective, again.alpha) == ("elbo", None)
    assert again.output == Path("new") and data == FACTS


def test_a_ladder_is_repeated_with_other_levels(asked, tmp_path):
    options = {"network": "ladder", "hidden": (4, 8), "num_levels": 3}
    path = tmp_path / "config.json"
    ladder = chosen(TrainConfig(**options), (28, 28, 1), 100)
    path.write_text(ladder.to_json())
    again, _ = asked("--config", path, "--num-levels", "2")
    assert (again.num_levels, again.latent_dim) == (2, None)
    assert asked("--config", path, "--network", "mlp")[0].latent_dim is None
    assert asked("--recipe", "two_levels", "--network", "ladder")[0].latent_dim is None


def test_a_resumed_run_knows_the_options_of_its_components(asked, config):
    flags = ["--resume", "--output", config.parent]
    again, data = asked(*flags, "--num-components", "12")
    assert (again.prior, again.num_components, again.resume) == ("mixture", 12, True)
    assert asked(*flags, "--prior", "vampprior")[0].num_components == 500
    assert data is None


@pytest.mark.parametrize(
    "flags", [["--dataset", "digits"], ["--validation-images", "3"]]
)
def test_other_images_are_free_where_they_are_asked_for(asked, config, flags):
    assert {"dataset", "image_size", "skip_broken"} < IMAGES
    assert asked("--config", config, *flags)[1] is None
    assert asked("--config", config, "--cache", "pixels")[1] == FACTS


def test_a_config_without_a_run_says_nothing_of_images(asked, config):
    config.write_text(CONFIG.to_json())
    assert asked("--config", config)[1] is None


def test_facts_that_cannot_be_true_are_refused(config):
    config.write_text(json.dumps(json.loads(CONFIG.to_json()) | {"data": {}}))
    typed = options_beneath(TypedOptions(config=config))
    with pytest.raises(ModelError, match="config.json does not say what its data's"):
        images_of_config(TypedOptions(**vars(typed) | {"config": config}))


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        ("--recipe classic --config x", 2, "each say what the options are; give one."),
        ("--recipe classic --resume", 2, "each say what the options are; give one."),
        ("--config x --resume", 2, "each say what the options are; give one."),
        ("--recipe clasic", 2, "Did you mean 'classic'?"),
        ("--recipe", 2, "--recipe takes"),
        ("--recipe classic --num-components 3", 2, "standard_normal has no num_comp"),
        ("--config none", 4, "There is no none; give --config a run's folder, or its"),
        ("--config .", 4, "There is no config.json; give --config a run's folder, or"),
        ("--config bad.json", 4, "bad.json: The run's config.json is not a config of"),
        ("--config latin.json", 4, "latin.json: "),
    ],
)
def test_what_cannot_be_is_one_sentence(
    flags, status, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("bad.json").write_text("[" * 100_000)
    Path("latin.json").write_bytes(b"\xe9")
    assert main(flags.split()) == status
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def parsed(command):
    """The options that a command of `keras_vae.train` stands for."""
    from keras_vae.cli import _parse

    typed = _parse(TypedOptions, shlex.split(command)[3:], "train", None)
    return typed.together()


def test_the_command_of_a_run_trains_such_a_run():
    once = {"output": TrainConfig().output, "overwrite": False, "elsewhere": False}
    for recipe in RECIPES.values():
        config = chosen(TrainConfig(**recipe.options), (28, 28, 1), 60_000)
        again = chosen(parsed(command_of(config)), (28, 28, 1), 60_000)
        assert again == config
    config = dataclasses.replace(CONFIG, dataset="my pictures", **once)
    assert parsed(command_of(config)) == config
    ladder = chosen(TrainConfig(network="ladder"), (32, 32, 3), 3_000)
    assert "latent-dim" not in command_of(ladder)
    assert chosen(parsed(command_of(ladder)), (32, 32, 3), 3_000) == ladder


def test_the_command_of_a_refitted_run_names_the_run_before():
    how = {"run": "/somewhere/my run", "epochs": 3, "seed": 1}
    assert command_of(CONFIG, how) == (
        "python -m keras_vae.refit 'my run' --prior mixture --num-components 11 "
        "--epochs 3 --seed 1"
    )
