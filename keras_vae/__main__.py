"""`python -m keras_vae`: the commands, and what to type first."""

import ast
import importlib
import sys
from importlib.resources import files

from keras_vae.cli import completed_name
from keras_vae.errors import unknown

COMMANDS = {
    "train": "keras_vae.train",
    "generate": "keras_vae.generate",
    "evaluate": "keras_vae.evaluate",
    "explore": "keras_vae.explore",
    "refit": "keras_vae.refit",
    "train_extractor": "keras_vae.train_extractor",
    "export": "export.__main__",
}


def overview() -> str:
    """A line for each command: the first of its module's docstring; and a beginning."""
    lines = [_about(module) for module in COMMANDS.values()]
    width = max(len(command) for command, _ in lines)
    listed = "\n".join(f"  {command:<{width}}  {about}" for command, about in lines)
    train = "python -m keras_vae.train"
    return f"""The commands; each has --help:

{listed}

First, in a minute, a model of 5,000 digits and a picture of what it draws:

  {train} --dataset digits --epochs 20 --output first
  python -m keras_vae.generate first

Tab completes flags after this (write zsh or fish where that is the shell):

  alias {completed_name(train)}='{train}'
  source <({train} --tyro-print-completion bash)"""


def _about(module):
    """What a module's docstring says: how it is called, and what comes of it."""
    package, _, stem = module.rpartition(".")
    source = (files(package) / f"{stem}.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    command, _, about = docstring.splitlines()[0].partition("`: ")
    return command.removeprefix("`"), about.rstrip(".")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(overview())
        return 0
    name, *rest = argv
    if name not in COMMANDS:
        print(
            f"keras-vae: error: {unknown('command', name, COMMANDS)}", file=sys.stderr
        )
        return 2
    return importlib.import_module(COMMANDS[name]).main(rest)


if __name__ == "__main__":
    sys.exit(main())
