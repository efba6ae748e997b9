import dataclasses
import importlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_vae.cli import command, without_chatter
from keras_vae.errors import DataError, Stopped


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


def test_tensorflow_starts_without_packages_that_no_command_uses():
    code = (
        "import sys; from keras_vae.cli import start_tensorflow; start_tensorflow()\n"
        "assert 'keras' in sys.modules and not {'pandas', 'sklearn'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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
        (["--batch-size"], "--batch-size takes"),
    ],
)
def test_a_misspelt_option_is_one_line_with_advice(argv, message, capsys):
    assert command(numpy_array, Options, argv) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("raised", "said", "status"),
    [
        (KeyboardInterrupt(), "Interrupted.\n", 130),
        (Stopped("Stopped after epoch 3.", 15), "Stopped after epoch 3.\n", 143),
    ],
)
def test_to_be_stopped_is_no_error(raised, said, status, capsys):
    def stopped(options):
        raise raised

    assert command(stopped, Options, []) == status
    assert capsys.readouterr().err == said


def test_what_is_not_written_by_python_is_not_for_the_user(capfd):
    with without_chatter():
        os.write(2, b"chatter of C++")
    with pytest.raises(DataError), without_chatter():
        raise DataError("no images")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def refused(options):
    raise DataError("no\x1b[31m\nimages")


def test_debug_prints_the_traceback_before_the_line(capsys):
    assert command(refused, Options, ["--debug", "--batch-size", "3"]) == 3
    assert command(refused, Options, ["--batch-size", "3", "--debug"]) == 3
    assert command(refused, Options, ["--zzz", "--debug"]) == 2
    error = capsys.readouterr().err
    assert error.count("Traceback (most recent call last)") == 3
    assert error.count(", in refused\n") == 2
    assert error.endswith("\nkeras-vae: error: Unknown option --zzz. See --help.\n")
    assert command(refused, Options, []) == 3
    assert "Traceback" not in capsys.readouterr().err


COMMANDS = ["keras_vae.train", "keras_vae.generate", "keras_vae.evaluate"]
COMMANDS += ["keras_vae.explore", "export.__main__"]


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_takes_debug_and_says_so(module, capsys):
    main = importlib.import_module(module).main
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--debug prints the traceback" in " ".join(capsys.readouterr().out.split())
    assert main(["--zzz", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_error_cannot_steer_the_terminal(capsys):
    assert command(refused, Options, []) == 3
    assert capsys.readouterr().err == "keras-vae: error: no\\x1b[31m images\n"


def test_names_that_cannot_be_printed_are_escaped(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert command(lambda options: print("\u2603\udcff"), Options, []) == 0
    out.flush()
    assert out.buffer.getvalue() == b"\\u2603\\udcff\n"


@dataclasses.dataclass(frozen=True)
class Written:
    """Where to."""

    output: Path = Path("a")
    """A file."""


@pytest.mark.parametrize("path", [300 * "a", "a\0b", "\ud800", 3000 * "a/"])
def test_a_path_that_no_file_can_have_is_refused(path, capsys):
    assert command(numpy_array, Written, ["--output", path]) == 2
    error = capsys.readouterr().err
    assert error.startswith("keras-vae: error: The path ") and len(error) < 160
    assert error.endswith(
        ("is too long; choose another.\n", "can have; choose another.\n")
    )


def test_a_reader_that_has_seen_enough_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "keras_vae.generate", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")  # that of SIGPIPE
