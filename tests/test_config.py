import dataclasses
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
        ({"epochs": 0}, "epochs must be a whole number >= 1; got 0"),
        ({"hidden": ()}, "hidden must be one or more"),
        ({"hidden": (3, 0)}, "hidden must be one or more"),
        ({"seed": 2**24}, "seed must be"),
        ({"seed": -1}, "seed must be"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number > 0"),
        ({"validation_images": -1}, "validation_images must be None or"),
        ({"beta": -0.1}, "beta must be a number >= 0"),
        ({"free_bits": float("nan")}, "free_bits must be a number >= 0"),
        ({"activation": "rleu"}, "Did you mean 'relu'"),
        ({"fused_steps": 0}, "fused_steps must be None or a number >= 1"),
        ({"precision": "float16"}, "Unknown precision 'float16'"),
        ({"prior": "standrad_normal"}, "Did you mean 'standard_normal'"),
        ({"export": ("onnx", "none")}, "Unknown export format 'none'"),
    ],
)
def test_config_rejects(option, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**option)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"hidden": [1], "export": []}'])
def test_a_strange_config_file_is_refused(text):
    with pytest.raises(ModelError, match="config.json is not a config"):
        TrainConfig.from_json(text)
