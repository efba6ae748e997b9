"""Errors a user can act on: one line that says what was expected, what came, what to do.

The command line prints that line and exits with the class's `exit_code`; in Python they
are ordinary `ValueError`s.
"""

import difflib
from collections.abc import Iterable


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
    message = f"Unknown {kind} {name!r}; expected one of {', '.join(choices)}."
    near = difflib.get_close_matches(str(name), choices, n=1)
    if near:
        message += f" Did you mean {near[0]!r}?"
    return UsageError(message)
