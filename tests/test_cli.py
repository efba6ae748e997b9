import dataclasses

import numpy as np
import pytest

from keras_vae.cli import command


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture."""

    steps: int = 3
    """Columns."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options."""

    batch_size: int = 8
    """Images."""
    picture: Picture = Picture()
    """What to show."""


def numpy_array(options):
    np.empty((2**20, 2**30))


def tensor(options):
    import tensorflow as tf

    raise tf.errors.ResourceExhaustedError(
        None, None, "{{node x}} OOM for shape[9,9] on /job:a/CPU:0\nHint: x"
    )


def xla(options):
    import tensorflow as tf

    raise tf.errors.InternalError(None, None, "Out of memory: tried 8 bytes.")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (numpy_array, "Unable to allocate 8.00 PiB"),
        (tensor, "Out of memory: OOM for shape[9,9]. Lower"),
        (xla, "tried 8 bytes. Lower"),
    ],
)
def test_running_out_of_memory_is_one_line(function, reason, capsys):
    assert command(function, Options, []) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and reason in error
    assert error.endswith("Lower --batch-size or --steps.\n")


def test_other_faults_keep_their_traceback():
    def broken(options):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        command(broken, Options, [])


@pytest.mark.parametrize(
    "argv", [["--batch-size", ""], ["--batch-size="], ["--picture.steps", ""]]
)
def test_an_empty_value_is_refused(argv, capsys):
    assert command(numpy_array, Options, argv) == 2
    name = argv[0].rstrip("=")
    assert f"error: {name} is empty; give it a value." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["--batch-siz", "3"],
            "Unknown option --batch-siz. Did you mean --batch-size?",
        ),
        (["--zzz"], "Unknown option --zzz. See --help."),
        (["--batch-size", "x"], "--batch-size must be a whole number; got 'x'."),
        (["--batch-size"], "Missing value for argument '--batch-size'"),
    ],
)
def test_a_misspelt_option_is_one_line_with_advice(argv, message, capsys):
    assert command(numpy_array, Options, argv) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
