"""One command: options from a dataclass, and every expected fault as one line."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from keras_vae.errors import KerasVAEError, OutputError, UsageError

Config = TypeVar("Config")


def command(
    function: Callable[[Config], int | None],
    config_class: type[Config],
    argv: Sequence[str] | None = None,
    prog: str | None = None,
    description: str | None = None,
) -> int:
    """Parses the command line into `config_class` and runs `function` with it.

    A fault that the user can act on (`KerasVAEError`, `OSError`, `ImportError`) is
    printed as one line `keras-vae: error: ...` on standard error, without traceback.

    Args:
        function: Takes the config; returns the exit status (`None` for 0).
        config_class: A dataclass; field names, types, defaults and docstrings become
            options.
        argv: Arguments after the program's name; `None` for those of the process.
        prog: The name to show in the help text.
        description: The help text's first paragraph; default: the docstring of
            `config_class`.

    Returns:
        The exit status: 0, what `function` returned, or the `exit_code` of the error
        (2 usage, 3 data, 4 model, 5 output; 130 for Ctrl-C).

    Example:
        >>> sys.exit(command(train, TrainConfig, prog="python -m keras_vae.train"))
    """
    # TensorFlow reads this on import: its start-up chatter is not for the user.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        config = _parse(config_class, argv, prog, description)
        return function(config) or 0
    except KerasVAEError as error:
        return _fail(error, error.exit_code)
    except ImportError as error:
        return _fail(error, UsageError.exit_code)
    except OSError as error:
        return _fail(error, OutputError.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def start_tensorflow() -> None:
    """Imports TensorFlow without its start-up chatter, and lets a GPU's memory grow.

    The chatter is written by C++ before any log level counts; while TensorFlow starts,
    standard error is turned off. Errors in Python still arrive as exceptions.
    """
    sys.stderr.flush()
    standard_error, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            # otherwise TensorFlow takes all of it
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.zeros(1)  # starts the devices
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)


def _parse(config_class, argv, prog, description):
    import tyro

    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(config_class, prog=prog, description=description, args=argv)
    except SystemExit as done:
        if done.code in (0, None):  # --help
            raise
    # tyro draws a box: a title, the message over one or more lines, a rule, hints
    blocks = re.split(r".*(?:───|---).*\n", printed.getvalue())
    message = " ".join(line.strip(" │|") for line in blocks[1].splitlines())
    message = message.removeprefix(f"Error parsing {config_class.__name__}: ")
    raise UsageError(f"{message} See --help." if "--help" not in message else message)


def _fail(error: Exception | str, exit_code: int) -> int:
    message = " ".join(str(error).split())
    print(f"keras-vae: error: {message}", file=sys.stderr)
    return exit_code
