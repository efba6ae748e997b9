import dataclasses
import json
from pathlib import Path

import pytest

from keras_vae.config import AXES, TrainConfig, choices
from keras_vae.errors import ModelError, UsageError


@pytest.mark.parametrize("table", AXES.values())
def test_choices_are_the_keys_of_the_table(table):
    import importlib

    module, _, name = table.rpartition(".")
    assert choices(table) == tuple(getattr(importlib.import_module(module), name))


def test_config_comes_back_from_json_with_no_default_left():
    config = TrainConfig(
        dataset="digits",
        output=Path("runs/x"),
        overwrite=True,
        epochs=3,
        batch_size=7,
        learning_rate=0.5,
        cosine_decay=True,
        validation_images=11,
        hidden=(5, 6),
        activation="tanh",
        latent_dim=3,
        output_bias=True,
        conditional=True,
        num_flows=3,
        num_components=11,
        sigma=0.3,
        scale="fixed",
        num_mixtures=4,
        beta=0.5,
        kl_warmup=1.5,
        warmup_cycles=2,
        free_bits=0.25,
        num_samples=2,
        seed=9,
        precision="bfloat16",
        fused_steps=4,
        export=("onnx",),
    )
    again = TrainConfig.from_json(config.to_json())
    assert again == config
    axes = set(AXES)
    for field in dataclasses.fields(TrainConfig):
        if field.name not in axes:
            assert getattr(again, field.name) != field.default, field.name


def test_cycles_without_a_warmup_are_refused():
    with pytest.raises(UsageError, match="warmup_cycles must be left out where"):
        TrainConfig(warmup_cycles=2)


def test_hidden_widths_suit_the_network():
    assert TrainConfig().hidden == (400,)
    assert TrainConfig(network="conv").hidden == (32, 64)
    assert TrainConfig(network="conv", hidden=(8,)).hidden == (8,)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number >= 1. Got 0"),
        ({"hidden": ()}, "hidden must be one or more"),
        ({"hidden": (3, 0)}, "each width in hidden must be a whole number >= 1"),
        ({"seed": 2**24}, "seed must be"),
        ({"seed": -1}, "seed must be"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number"),
        ({"validation_images": -1}, "validation_images must be a whole number >= 0"),
        ({"beta": -0.1}, "beta must be a number >= 0"),
        ({"free_bits": float("nan")}, "free_bits must be a number >= 0"),
        ({"activation": "rleu"}, "Did you mean 'relu'"),
        ({"fused_steps": 0}, "fused_steps must be a whole number >= 1"),
        ({"precision": "float16"}, "Unknown precision 'float16'"),
        ({"prior": "standrad_normal"}, "Did you mean 'standard_normal'"),
        ({"export": ("onnx", "none")}, "Unknown export format 'none'"),
        ({"epochs": 10**23}, "epochs must be a whole number <= 1000000"),
        ({"batch_size": 10**9}, "batch_size must be a whole number <= 1000000"),
        ({"latent_dim": 10**9}, "latent_dim must be a whole number <= 4096"),
        ({"latent_dim": 2.5}, "latent_dim must be a whole number"),
        ({"num_samples": 10**9}, "num_samples must be a whole number <= 10000"),
        ({"num_components": 10**9}, "num_components must be a whole number"),
        ({"num_mixtures": 10**9}, "num_mixtures must be a whole number"),
        ({"fused_steps": 10**8}, "fused_steps must be a whole number <= 100000"),
        ({"hidden": (10**9,)}, "each width in hidden must be .* <= 1000000"),
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
        (changed(zeal=11), "unknown option zeal"),
        (changed(format=99), "later version"),
        (changed(hidden=5), "not iterable"),
    ],
)
def test_a_wrong_value_in_a_config_file_is_refused_by_name(text, message):
    with pytest.raises(ModelError, match=message):
        TrainConfig.from_json(text)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(TrainConfig)])
def test_a_missing_option_in_a_config_file_is_refused_by_name(field):
    options = json.loads(TrainConfig().to_json())
    del options[field]
    with pytest.raises(ModelError, match=f"it lacks {field}"):
        TrainConfig.from_json(json.dumps(options))


def test_a_config_file_without_a_format_is_of_the_first():
    options = json.loads(TrainConfig(epochs=7).to_json())
    assert options.pop("format") == 1
    assert TrainConfig.from_json(json.dumps(options)) == TrainConfig(epochs=7)


def test_an_older_config_file_means_what_its_version_meant(monkeypatch):
    options = json.loads(TrainConfig().to_json())
    del options["beta"], options["cosine_decay"], options["format"]
    later = ({"beta": 3.0}, {"cosine_decay": True})
    monkeypatch.setattr("keras_vae.config.ADDED", later)
    expected = TrainConfig(beta=3.0, cosine_decay=True)
    assert TrainConfig.from_json(json.dumps(options)) == expected
    with pytest.raises(ModelError, match="it lacks beta"):  # not taken from format 1
        TrainConfig.from_json(json.dumps(options | {"format": 2}))
