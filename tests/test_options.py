import dataclasses
import importlib
from typing import Literal, get_args, get_type_hints

import pytest

from keras_vae.flags import AXES, NAMES
from keras_vae.options import choices, fits, options, options_of


@pytest.mark.parametrize(
    "table", [*AXES.values(), *NAMES.values(), "export.formats.FORMATS"]
)
def test_choices_are_the_keys_of_the_table(table):
    module, _, name = table.rpartition(".")
    assert choices(table) == tuple(getattr(importlib.import_module(module), name))


def test_a_table_that_is_not_there_is_an_error():
    with pytest.raises(LookupError, match="keras_vae.networks.table has no table NETS"):
        choices("keras_vae.networks.table.NETS")


def test_options_have_type_default_and_meaning():
    mixture = options_of("keras_vae.distributions.table.LIKELIHOODS")
    option = mixture["discretized_logistic_mixture"]["num_mixtures"]
    assert (option.kind, option.default) == (int, 5)
    assert option.help == "int from 1 to 1,000, components M of a pixel."
    assert mixture["bernoulli"] == {}


@options
class Drawing:
    """What to draw."""

    seed: int = 0
    """Of the noise,
    any whole number."""
    width: Literal[1, 2] = 1
    height: int = 1
    """In rows."""


def test_options_of_a_command_say_what_stands_below_them():
    kinds = get_type_hints(Drawing, include_extras=True)
    assert get_args(kinds["seed"])[1].help == "Of the noise, any whole number."
    assert get_args(kinds["height"])[1].help == "In rows."
    assert kinds["width"] == Literal[1, 2]
    assert Drawing(2) == Drawing(seed=2, height=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Drawing().seed = 1  # pyright: ignore


def test_options_without_their_source_are_options_still(monkeypatch):
    monkeypatch.setattr("inspect.getsource", lambda cls: open("nowhere/at/all"))
    assert options(type("Plain", (), {"__annotations__": {"a": int}}))(3).a == 3


def test_what_a_row_of_the_table_fixes_is_no_option():
    networks = options_of("keras_vae.networks.table.NETWORKS")
    assert "gated" not in networks["mlp"] and "gated" not in networks["gated_mlp"]
    assert networks["gated_mlp"]["hidden"].default == (400,)


def test_a_union_of_tables_has_the_rows_of_both():
    table = "keras_vae.networks.table"
    names = {*choices(f"{table}.NETWORKS"), *choices(f"{table}.OF_LEVELS")}
    assert set(choices(f"{table}.EVERY")) == names
    options = options_of(f"{table}.EVERY")
    assert options["mlp"] == options_of(f"{table}.NETWORKS")["mlp"]
    assert options["ladder"]["num_levels"].default == 4


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (3, int, True),
        (True, int, False),
        (3, float, True),
        ("3", float, False),
        ((1, 2), tuple[int, ...], True),
        ((1, 2.5), tuple[int, ...], False),
        (5, tuple[int, ...], False),
    ],
)
def test_fits_is_strict(value, kind, expected):
    assert fits(value, kind) is expected
