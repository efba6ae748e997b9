import inspect

import numpy as np
import pytest

from keras_vae import errors
from keras_vae.errors import (
    KerasVAEError,
    UsageError,
    number,
    shown,
    unknown,
    whole_number,
)


def test_exit_codes_are_those_of_the_command_line():
    codes = {
        name: found.exit_code
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, KerasVAEError)
    }
    assert codes == {
        "KerasVAEError": 1,
        "UsageError": 2,
        "DataError": 3,
        "ModelError": 4,
        "OutputError": 5,
        "DivergedError": 6,
        "WorkerLostError": 7,
    }
    assert issubclass(KerasVAEError, ValueError)


def test_unknown_names_the_choices_and_the_nearest():
    error = unknown("prior", "vampprio", {"mixture": 1, "vampprior": 2})
    assert isinstance(error, UsageError)
    assert str(error) == (
        "Unknown prior 'vampprio'; expected one of mixture, vampprior. "
        "Did you mean 'vampprior'?"
    )
    assert "Did you mean" not in str(unknown("prior", "zzz", ["mixture"]))


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_of_any_type_become_ints(value):
    assert whole_number("n", value, 1, 3) == 3
    assert type(whole_number("n", value)) is int


@pytest.mark.parametrize("value", [0, 4, 2.0, True, "2", None, np.float32(2), [2]])
def test_whole_number_refuses(value):
    with pytest.raises(UsageError, match="^n must be a whole number [<>]= .* instead"):
        whole_number("n", value, 1, 3)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2)])
def test_numbers_of_any_type_become_floats(value):
    assert number("x", value, 2, 2) == 2.0
    assert type(number("x", value)) is float


@pytest.mark.parametrize(
    "value", [-0.1, 3.5, float("nan"), float("inf"), 10**400, True, "2", None, 2j, [2]]
)
def test_number_refuses(value):
    with pytest.raises(UsageError, match="^x must be a number [<>]= "):
        number("x", value, 0, 3)


def test_a_strangers_value_is_one_short_printable_line():
    assert shown("a b") == "'a b'" and shown((1, 2)) == "(1, 2)"
    for value in ("\x1b[31m\n", "a" * 10**6, np.zeros((99, 9)), {"a": [1] * 999}):
        assert shown(value).isprintable() and len(shown(value)) <= 80
        assert len(str(unknown("name", value, ["one", "two"]))) < 150
