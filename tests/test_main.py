"""`python -m keras_vae`, and what all commands have in their help."""

import importlib
import re
import shlex
import subprocess
import sys

import pytest

from keras_vae import cli
from keras_vae.__main__ import COMMANDS, main
from keras_vae.run_options import GROUPS

MODULES = {name: importlib.import_module(path) for name, path in COMMANDS.items()}


def helped(argv, capsys):
    with pytest.raises(SystemExit) as done:
        main([*argv, "--help"])
    assert done.value.code in (0, None)
    return capsys.readouterr().out


def test_it_lists_every_command_in_a_line(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines()) <= 80
    for module in COMMANDS.values():
        called = rf"  python -m {module.removesuffix('.__main__')}( [A-Z ]+)?  +\w"
        assert len(re.findall(called, text)) == 1


def test_an_unknown_command_is_one_line(capsys):
    assert main(["trian"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Did you mean 'train'?" in error


def test_a_command_runs_from_there(capsys):
    assert main(["generate", "nowhere"]) == 4
    assert "keras-vae: error: " in capsys.readouterr().err


def examples(text):
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line.startswith("python -m ")]


HELPED = [[name] for name in COMMANDS] + [["export", "verify"], ["export", "serve"]]


@pytest.mark.parametrize("argv", HELPED, ids=" ".join)
def test_examples_of_the_help_are_understood(argv, capsys, monkeypatch):
    """Each is parsed to a config; nothing runs."""
    found = examples(helped(argv, capsys))
    assert 2 <= len(found) <= 4
    monkeypatch.setattr("keras_vae.cli._fault", lambda error, config: None)
    asked = []
    for module in MODULES.values():
        monkeypatch.setattr(
            module,
            "command",
            lambda function, *rest, **how: cli.command(
                asked.append, *rest, **how | {"defaults": lambda config: None}
            ),
        )
    for line in found:
        _, _, module, *arguments = shlex.split(line)
        (name,) = [
            n for n, m in COMMANDS.items() if m.removesuffix(".__main__") == module
        ]
        assert MODULES[name].main(arguments) == 0
    assert len(asked) == len(found)


@pytest.mark.parametrize("argv", HELPED, ids=" ".join)
def test_help_is_no_wider_than_a_terminal(argv, capsys):
    text = helped(argv, capsys).partition("\n\n")[2]  # without how it is called
    for line in text.splitlines():
        assert len(line) <= (88 if "python -m" in line else 80)


def test_help_breaks_lines_where_the_terminal_does(capsys):
    """Not where the docstring in the source does, as tyro would by itself."""
    lines = helped(["train"], capsys).splitlines()
    assert any(
        "more are read when they are needed. None is a" in line for line in lines
    )


def test_training_options_stand_under_headings(capsys):
    text = helped(["train"], capsys)
    titles = re.findall(r"^\W+((?:\w+ )?options)\W+$", text, re.M)
    headings = [f"{name} options" for name in ("recipe", *GROUPS)]
    assert titles == ["options", *headings]
    model = text.partition("model options")[2].partition("objective options")[0]
    for flag in ("--prior ", "--num-components ", "--hidden ", "--sigma "):
        assert flag in model and len(re.findall(rf"^\W+{flag}", text, re.M)) == 1
    assert (
        "--beta " in text.partition("objective options")[2].partition("training op")[0]
    )


def test_the_shell_completes_flags_without_tensorflow():
    code = (
        "import sys; from keras_vae.train import main\n"
        "try: main(['--tyro-print-completion', 'bash'])\n"
        "finally: assert not {'tensorflow', 'keras'} & {*sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--num-components" in done.stdout
    assert re.search("^complete .* keras-vae-train$", done.stdout, re.M)
    subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)
