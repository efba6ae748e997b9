"""Errors a user can act on: what was expected, what came, what to do, in one line.

The command line prints that line and exits with the class's `exit_code`; in Python they
are ordinary `ValueError`s.
"""

import difflib
import math
import numbers
import shlex
import unicodedata
from collections.abc import Iterable
from typing import Any


class KerasVAEError(ValueError):
    """Something the user gave cannot be used."""

    exit_code = 1


class UsageError(KerasVAEError):
    """An argument or option has a value that is not allowed."""

    exit_code = 2


class DataError(KerasVAEError):
    """Images or labels cannot be read, or break the rules for training data."""

    exit_code = 3


class ModelError(KerasVAEError):
    """A model, a run folder or an exported artifact cannot be used."""

    exit_code = 4


class OutputError(KerasVAEError):
    """A file or folder cannot be written."""

    exit_code = 5


class DivergedError(KerasVAEError):
    """The training went to NaN or infinity."""

    exit_code = 6


class WorkerLostError(KerasVAEError):
    """Another machine or process of the same training has ended, or never began."""

    exit_code = 7


def first_line(error: BaseException) -> str:
    """The first line of what another's error says, in 150 printable characters at most.

    Where it says nothing, the name of its class.
    """
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return "".join(c if c.isprintable() else " " for c in line[:150])


def on_one_line(text: object) -> str:
    r"""Text, e.g. a path, with what would end its line or cannot be printed escaped.

    Example:
        >>> on_one_line("a\nb")
        'a\\nb'
    """
    kinds = ("Cc", "Cs", "Zl", "Zp")  # of Unicode: control, surrogates, separators
    return "".join(
        ascii(c)[1:-1] if unicodedata.category(c) in kinds else c for c in str(text)
    )


def to_type(command: str, *paths: object) -> str:
    """A command to copy and paste: paths are quoted where a shell needs it.

    Example:
        >>> to_type("python -m keras_vae.generate", "saved_models/my faces")
        "python -m keras_vae.generate 'saved_models/my faces'"
    """
    texts = [f"./{path}" if f"{path}".startswith("-") else f"{path}" for path in paths]
    return " ".join([command, *map(shlex.quote, texts)])


def diverged(name: str, value: float) -> DivergedError:
    """The error for a number of a trained model that is NaN or infinite.

    Args:
        name: What the number is, as a sentence begins.
        value: The number.

    Returns:
        A `DivergedError`, to be raised by the caller.

    Example:
        >>> str(diverged("The loss of the evaluation", math.nan))
        'The loss of the evaluation is nan: the model has diverged; train it again at \
a lower learning rate.'
    """
    return DivergedError(
        f"{name} is {value}: the model has diverged; train it again at a lower "
        "learning rate."
    )


class Stopped(KeyboardInterrupt):
    """A signal has ended a training, after everything was saved.

    Args:
        message: Where it was stopped.
        number: Of the signal.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number
        self.exit_code = 128 + number


def unknown(kind: str, name: object, choices: Iterable[str]) -> UsageError:
    """The error for a name that is not in a table.

    Args:
        kind: What the name stands for, e.g. `"dataset"`.
        name: The name that came.
        choices: The names that are known.

    Returns:
        A `UsageError`, to be raised by the caller, with the nearest name suggested.

    Example:
        >>> str(unknown("prior", "standrad_normal", ["standard_normal", "vampprior"]))
        "Unknown prior 'standrad_normal'; expected one of standard_normal, vampprior. \
Did you mean 'standard_normal'?"
    """
    choices = list(choices)
    message = f"Unknown {kind} {shown(name)}; expected one of {', '.join(choices)}."
    near = difflib.get_close_matches(str(name), choices, n=1)
    if near:
        message += f" Did you mean {near[0]!r}?"
    return UsageError(message)


def whole_number(
    name: str, value: Any, minimum: int = 1, maximum: int | None = None
) -> int:
    """Checks an argument that must be a whole number.

    Args:
        name: The argument's name.
        value: What came.
        minimum: The smallest value allowed.
        maximum: The largest value allowed; None if there is none.

    Returns:
        The value, as an int.

    Raises:
        UsageError: If it is not a whole number, or out of range.

    Example:
        >>> whole_number("latent_dim", 20)
        20
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < minimum:
        raise UsageError(
            f"{name} must be a whole number >= {minimum}. Got {shown(value)} instead."
        )
    if maximum is not None and int(value) > maximum:
        raise UsageError(
            f"{name} must be a whole number <= {maximum}. Got {shown(value)} instead."
        )
    return int(value)


def number(
    name: str, value: Any, minimum: float = 0.0, maximum: float = math.inf
) -> float:
    """Checks an argument that must be a finite number.

    Args:
        name: The argument's name.
        value: What came.
        minimum: The smallest value allowed.
        maximum: The largest value allowed.

    Returns:
        The value, as a float.

    Raises:
        UsageError: If it is not a finite number, or out of range.

    Example:
        >>> number("beta", 4)
        4.0
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        result = float(value) if real else math.nan
    except OverflowError:  # a whole number of hundreds of digits
        result = math.inf
    if not math.isfinite(result) or value < minimum:
        raise UsageError(f"{name} must be a number >= {minimum:g}. Got {shown(value)}.")
    if result > maximum:
        raise UsageError(f"{name} must be a number <= {maximum:g}. Got {shown(value)}.")
    return result


def shown(value: object, most: int = 80) -> str:
    """A stranger's value in a sentence: printable, on one line, not too long.

    Args:
        value: What came.
        most: Characters.

    Example:
        >>> shown("a long name", most=9)
        "'a lon..."
    """
    text = repr(value).replace("\n", " ")
    return text if len(text) <= most else f"{text[: most - 3]}..."
