import dataclasses
import json
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from keras_vae.config import RunOptions, TrainConfig
from keras_vae.data.image_files import RESIZE, ImageOptions
from keras_vae.errors import ModelError, UsageError
from keras_vae.flags import FLAGS


def test_config_comes_back_from_json_with_no_default_left():
    config = TrainConfig(
        dataset="digits",
        image_size=(8, 9),
        resize="pad",
        channels=1,
        background="#102030",
        max_megapixels=5,
        skip_broken=True,
        memory_budget=0.5,
        cache="pixels",
        output=Path("runs/x"),
        overwrite=True,
        resume=True,
        elsewhere=True,
        checkpoint_every=(5, "minutes"),
        epochs=3,
        batch_size=7,
        optimizer="muon",
        learning_rate=0.5,
        learning_rate_warmup=0.25,
        clip_norm=2.5,
        ema=0.99,
        weight_decay=0.01,
        cosine_decay=True,
        early_stopping=6,
        devices=4,
        worker_timeout=7,
        validation_images=11,
        network="conv",
        hidden=(5, 6),
        activation="tanh",
        latent_dim=3,
        output_bias=True,
        conditional=True,
        posterior="iaf",
        num_flows=3,
        posterior_hidden=12,
        prior="mixture",
        num_components=11,
        likelihood="gaussian",
        sigma=0.3,
        scale="fixed",
        objective="beta_tcvae",
        alpha=0.7,
        beta=0.5,
        gamma=1.5,
        kl_warmup=1.5,
        num_samples=2,
        binarization="dynamic",
        seed=9,
        precision="bfloat16",
        pictures_every=3,
        tensorboard=True,
        fused_steps=4,
        export=("onnx",),
    )
    again = TrainConfig.from_json(config.to_json())
    assert again == config
    for field in dataclasses.fields(RunOptions):
        assert getattr(again, field.name) != field.default, field.name


def test_a_config_says_the_options_of_its_components_and_of_no_other():
    options = json.loads(TrainConfig(network="mlp", likelihood="gaussian").to_json())
    chosen = {"hidden": [400], "activation": "relu", "sigma": 0.1, "scale": "learned"}
    chosen |= {"beta": 1.0, "warmup_cycles": 1, "free_bits": 0.0, "weight_decay": 0.0}
    assert {
        name: options[name] for name in FLAGS if options[name] is not None
    } == chosen


def test_options_are_the_arguments_of_the_components():
    """What the source says is what the classes take, by name and default."""
    import importlib
    import inspect

    from keras_vae.flags import COMPONENTS

    assert {"posterior_hidden", "lambda_", "alpha", "gamma"} <= set(FLAGS)
    for flag in FLAGS.values():
        module, _, table = COMPONENTS[flag.axis].rpartition(".")
        rows = getattr(importlib.import_module(module), table)
        for name, default in flag.defaults.items():
            parameter = inspect.signature(rows[name]).parameters[flag.argument]
            assert parameter.default == default, (name, flag.argument)


def test_arguments_are_a_components_own_names():
    config = TrainConfig(network="mlp", posterior="iaf", posterior_hidden=12)
    assert config.arguments("posterior") == {"num_flows": 2, "hidden": 12}
    assert config.arguments("network") == {"hidden": (400,), "activation": "relu"}
    assert config.arguments("prior") == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_flows": 3}, "posterior diagonal_gaussian has no num_flows.*iaf"),
        ({"prior": "flow", "num_components": 3}, "prior flow .* mixture or vampprior"),
        ({"objective": "iwae", "beta": 2.0}, "no beta.*elbo or beta_tcvae"),
    ],
)
def test_an_option_of_another_component_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**options)


def test_options_of_a_component_suit_it_and_wait_where_it_is_yet_to_be_chosen():
    assert TrainConfig(network="mlp").hidden == (400,)
    assert TrainConfig(network="conv").hidden is None  # chosen from the images
    assert TrainConfig().hidden is TrainConfig().activation is None
    assert TrainConfig(network="conv", hidden=(8,)).hidden == (8,)
    waiting = TrainConfig(sigma=0.3)
    assert dataclasses.replace(waiting, likelihood="gaussian").sigma == 0.3
    with pytest.raises(UsageError, match="likelihood bernoulli has no sigma"):
        dataclasses.replace(waiting, likelihood="bernoulli")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number >= 1. Got 0"),
        ({"image_size": (0,)}, "image_size must be a whole number >= 1"),
        ({"channels": "1"}, "channels must be 1 or 3; got '1'"),
        ({"background": 3}, "background must be of type str; got 3"),
        ({"hidden": ()}, r"hidden cannot be \(\)"),
        ({"export": ()}, "export must be formats, or none"),
        ({"hidden": (3, 0.5)}, r"hidden cannot be \(3, 0.5\)"),
        ({"seed": 2**24}, "seed must be"),
        ({"seed": -1}, "seed must be"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number"),
        ({"validation_images": -1}, "validation_images must be a whole number >= 0"),
        ({"free_bits": float("nan")}, "free_bits must be a number"),
        ({"activation": "rleu"}, "Did you mean 'relu'"),
        ({"fused_steps": 0}, "fused_steps must be a whole number >= 1"),
        ({"precision": "float61"}, "Did you mean 'float16'"),
        ({"early_stopping": 0}, "early_stopping must be a whole number >= 1"),
        ({"learning_rate_warmup": -1}, "learning_rate_warmup must be a number >= 0"),
        (
            {"learning_rate_warmup": 3, "epochs": 3, "cosine_decay": True},
            "learning_rate_warmup must be shorter than the 3 epochs of a cosine decay",
        ),
        ({"tensorboard": 1}, "tensorboard must be of type bool"),
        ({"ema": "0.9"}, "ema cannot be '0.9'"),
        ({"prior": "standrad_normal"}, "Did you mean 'standard_normal'"),
        ({"export": ("onnx", "none")}, "export must be none alone"),
        ({"epochs": 10**23}, "epochs must be a whole number <= 1000000"),
        ({"batch_size": 10**9}, "batch_size must be a whole number <= 1000000"),
        ({"latent_dim": 10**9}, "latent_dim must be a whole number <= 4096"),
        ({"latent_dim": 2.5}, "latent_dim must be a whole number"),
        ({"num_samples": 10**9}, "num_samples must be a whole number <= 10000"),
        ({"prior": "mixture", "num_components": 10**9}, "num_components must be"),
        ({"likelihood": "gaussian", "scale": "wide"}, "scale cannot be 'wide'"),
        ({"fused_steps": 10**8}, "fused_steps must be a whole number <= 100000"),
        ({"hidden": (10**9,)}, "hidden must be a number <= 1e"),
        ({"learning_rate": float("inf")}, "learning_rate must be a number"),
        ({"learning_rate": 0.0}, "learning_rate must be a number > 0"),
        ({"kl_warmup": float("inf")}, "kl_warmup must be a number"),
        ({"beta": float("inf")}, "beta must be a number"),
        ({"overwrite": "yes"}, "overwrite must be of type bool"),
        ({"epochs": None}, "epochs must not be None"),
    ],
)
def test_config_rejects(option, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**option)


@pytest.mark.parametrize("text", ["", "{}", "[]", "1", '{"hidden": [1], "export": []}'])
def test_a_strange_config_file_is_refused(text):
    with pytest.raises(ModelError, match="config.json is not a config"):
        TrainConfig.from_json(text)


def changed(**options):
    return json.dumps(json.loads(TrainConfig().to_json()) | options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed(latent_dim="20"), "latent_dim must be a whole number"),
        (changed(latent_dim=2.5), "latent_dim must be a whole number"),
        (changed(prior="standrad_normal"), "Did you mean 'standard_normal'"),
        (changed(zeal=11), "unknown option 'zeal'"),
        (changed(format=99), "later version"),
        (changed(hidden=5), "hidden cannot be 5"),
        (
            changed(learning_rate=10**400),
            "learning_rate must be a number >= 0. Got 1000",
        ),
        (1000 * "[" + 1000 * "]", "maximum recursion depth|'list' object"),
        (changed(**{"\n" + 999 * "a": 1}), r"unknown option '\\na{74}\)"),
        (changed(dataset=999 * "a", prior="b" * 999), "Unknown prior 'bbb"),
    ],
)
def test_a_wrong_value_in_a_config_file_is_refused_by_name(text, message):
    with pytest.raises(ModelError, match=message) as raised:
        TrainConfig.from_json(text)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300


@pytest.mark.parametrize(
    "field", [*(f.name for f in dataclasses.fields(RunOptions)), "hidden", "beta"]
)
def test_a_missing_option_in_a_config_file_is_refused_by_name(field):
    options = json.loads(TrainConfig(network="mlp").to_json())
    del options[field]
    with pytest.raises(ModelError, match=f"it lacks {field}"):
        TrainConfig.from_json(json.dumps(options))


def test_a_config_file_need_not_know_the_options_of_components_it_did_not_choose():
    """So that a new component's options leave older files readable."""
    options = json.loads(TrainConfig(epochs=7).to_json())
    for name in ("num_flows", "posterior_hidden", "lambda_"):
        del options[name]
    assert TrainConfig.from_json(json.dumps(options)) == TrainConfig(epochs=7)


def test_a_config_file_of_the_first_format_left_defaults_to_the_components():
    options = json.loads(TrainConfig(objective="iwae", epochs=7).to_json())
    for name in ("format", "posterior_hidden", "alpha", "gamma", "lambda_"):
        del options[name]  # it had none of these
    options |= {"free_bits": 0.0, "likelihood": "discretised_logistic_mixture"}
    again = TrainConfig.from_json(json.dumps(options))
    assert again.epochs == 7 and again.free_bits is None and again.num_mixtures == 5
    assert again.likelihood == "discretized_logistic_mixture"


def test_a_config_file_of_the_first_format_had_two_widths_of_convolutions():
    options = json.loads(TrainConfig(network="conv").to_json())
    for name in ("format", "posterior_hidden", "alpha", "gamma", "lambda_"):
        del options[name]
    assert TrainConfig.from_json(json.dumps(options)).hidden == (32, 64)


def test_a_weight_of_zero_in_a_config_file_of_the_first_format_stays():
    options = json.loads(TrainConfig(beta=0.0).to_json())
    for name in ("format", "posterior_hidden", "alpha", "gamma", "lambda_"):
        del options[name]
    assert TrainConfig.from_json(json.dumps(options)).beta == 0.0


def test_an_older_config_file_means_what_its_version_meant(monkeypatch):
    options = json.loads(TrainConfig().to_json())
    del options["conditional"], options["cosine_decay"]
    later = ({}, {"conditional": True}, {"cosine_decay": True})
    monkeypatch.setattr("keras_vae.config.ADDED", later)
    expected = TrainConfig(conditional=True, cosine_decay=True)
    assert TrainConfig.from_json(json.dumps(options | {"format": 2})) == expected
    with pytest.raises(ModelError, match="it lacks conditional"):
        TrainConfig.from_json(json.dumps(options | {"format": 3}))


def test_options_of_images_have_the_defaults_of_load():
    config = TrainConfig()
    assert ImageOptions(**config.image_options) == ImageOptions()
    kinds = get_args(get_type_hints(RunOptions)["resize"])
    assert kinds == RESIZE
