"""One command: options from a dataclass, and every expected fault as one line."""

import contextlib
import dataclasses
import difflib
import functools
import inspect
import io
import os
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from keras_vae.errors import KerasVAEError, OutputError, Stopped, UsageError, to_type
from keras_vae.files import check_path

Config = TypeVar("Config")

DEBUG = "--debug"  # every command takes it, at any place

# options, of any command, that decide how much memory it needs
HUNGRY = ("batch_size", "num_samples", "hidden", "latent_dim", "num_images", "steps")


def command(
    function: Callable[[Config], int | None],
    config_class: type[Config],
    argv: Sequence[str] | None = None,
    prog: str | None = None,
    description: str | None = None,
    defaults: Callable[[Config], Config | None] = lambda config: None,
    groups: Mapping[str, type] | None = None,
) -> int:
    """Parses the command line into `config_class` and runs `function` with it.

    A fault that the user can act on (`KerasVAEError`, `OSError`, `ImportError`) is
    printed as one line `keras-vae: error: ...` on standard error, after its traceback
    where `--debug` is among the arguments. So is running out of memory.

    Args:
        function: Takes the config; returns the exit status (`None` for 0).
        config_class: A dataclass; field names, types, defaults and docstrings become
            options.
        argv: Arguments after the program's name; `None` for those of the process.
        prog: The name to show in the help text.
        description: The help text's first paragraph; default: the docstring of
            `config_class`.
        defaults: From the config to another whose values stand for the options that
            were not given, where those of `config_class` do not; it is asked again
            after these are parsed over what it gave, until it gives the same.
        groups: Headings of the help text, each with a dataclass of which
            `config_class` has the fields; together all of them.

    Returns:
        The exit status: 0, what `function` returned, or the `exit_code` of the error
        (2 usage, 3 data, 4 model, 5 output; 130 for Ctrl-C, 143 for SIGTERM).

    Example:
        >>> sys.exit(command(train, TrainConfig, prog="python -m keras_vae.train"))
    """
    # TensorFlow reads this on import: its start-up chatter is not for the user.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if isinstance(sys.stdout, io.TextIOWrapper):  # names it may not be able to write
        sys.stdout.reconfigure(errors="backslashreplace")
    argv = list(sys.argv[1:] if argv is None else argv)
    config = None
    try:
        parse = functools.partial(
            _parse, config_class, argv, prog or sys.argv[0], description, groups
        )
        config, default = parse(), None
        while (found := defaults(config)) != default:
            default = found
            config = parse(default=default)
        for _, value in _options(config):
            if isinstance(value, Path):
                check_path(value)
        return function(config) or 0
    except Stopped as stopped:  # by the user: no error
        message, exit_code = str(stopped), stopped.exit_code
    except KeyboardInterrupt:
        message, exit_code = "Interrupted.", 130
    except BrokenPipeError:  # whoever reads has seen enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except BaseException as error:
        fault = _fault(error, config)
        if fault is None:
            raise
        if DEBUG in argv:
            traceback.print_exc()
        message, exit_code = fault
        message = f"keras-vae: error: {message}"
    print(_printable(message), file=sys.stderr)
    return exit_code


def conclude(sentence: str, *commands: str) -> None:
    """Prints how a command ends: where things are, and what to type next, if anything.

    Args:
        sentence: Where they are.
        commands: From `errors.to_type`.

    Example:
        >>> conclude("All is in a.", "python -m keras_vae.generate a")
        All is in a. Next:
          python -m keras_vae.generate a
    """
    if commands:
        sentence += " Next:"
    print(sentence, *commands, sep="\n  ", flush=True)


def conclude_run(folder: object, formats: Sequence[str], *commands: str) -> None:
    """Prints how a command ends that wrote a run.

    Args:
        folder: The run's.
        formats: What its decoder was exported to.
        commands: What may be typed beside drawing from it and measuring it.
    """
    first = "python -m keras_vae.generate" if "onnx" in formats else "python -m export"
    both = (to_type(each, folder) for each in (first, "python -m keras_vae.evaluate"))
    conclude(f"The run is in {folder}.", *both, *commands)


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Turns standard error off, for what C++ writes there before any log level counts.

    Errors in Python still arrive as exceptions.
    """
    sys.stderr.flush()
    standard_error, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)


def start_tensorflow(devices: bool = True) -> None:
    """Imports TensorFlow without its start-up chatter, and lets a GPU's memory grow.

    Keras imports two packages for wrappers and data that no command uses, if they are
    there, which would take 120 MB.

    Args:
        devices: Whether its devices are started, too, as they are with its first
            operation; after that no other devices can be chosen.
    """
    absent = [name for name in ("pandas", "sklearn") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # pyright: ignore
    try:
        with without_chatter():
            import tensorflow as tf

            for gpu in tf.config.list_physical_devices("GPU"):
                # otherwise TensorFlow takes all of it
                tf.config.experimental.set_memory_growth(gpu, True)
            if devices:
                tf.zeros(1)
    finally:
        for name in absent:  # from here on they can be imported again
            sys.modules.pop(name, None)


def _is_out_of_memory(error):
    if isinstance(error, MemoryError):  # NumPy's is one
        return True
    tf = sys.modules.get("tensorflow")
    if tf is None or not isinstance(error, tf.errors.OpError):
        return False
    exhausted = isinstance(error, tf.errors.ResourceExhaustedError)
    return exhausted or "out of memory" in str(error).lower()


def _fault(error, config) -> tuple[str, int] | None:
    """What to say of a fault, and the exit status; None for a bug."""
    if isinstance(error, KerasVAEError):
        return str(error), error.exit_code
    if isinstance(error, ImportError):
        return str(error), UsageError.exit_code
    if isinstance(error, OSError):
        return str(error), OutputError.exit_code
    if _is_out_of_memory(error):
        return _out_of_memory(error, config), UsageError.exit_code
    return None


def _options(config):
    """Pairs (name, value) of all options, those of a subcommand, too."""
    for name, value in vars(config).items() if config else ():
        nested = dataclasses.is_dataclass(value)
        yield from _options(value) if nested else [(name, value)]


def _out_of_memory(error, config):
    """What could not be allocated, and the options that decide how much is needed."""
    names = {name for name, _ in _options(config)}
    options = [f"--{name.replace('_', '-')}" for name in HUNGRY if name in names]
    advice = f"Lower {' or '.join(options)}." if options else "Free some."
    reason = (str(error).strip().splitlines() or ["no more can be had"])[0]
    reason = re.sub(r"\{\{.*?\}\} ?| on /job:.*", "", reason)  # TensorFlow's own names
    return f"Out of memory: {reason.rstrip('.')}. {advice}"


def _parse(config_class, argv, prog, description, groups=None, default=None):
    import tyro

    argv = [argument for argument in argv if argument != DEBUG]
    if argv and argv[0].startswith("--tyro-"):  # a script that completes one word
        prog = completed_name(prog)
    description = _paragraphs(description or config_class.__doc__)
    groups = groups or {}
    parsed_class = _grouped_class(config_class, groups)
    if default is not None:
        default = _grouped(default, parsed_class, groups)
    for before, argument in zip(["An argument", *argv], argv, strict=False):
        name, _, _ = argument.partition("=")
        if not argument or (name.startswith("--") and argument == f"{name}="):
            raise UsageError(f"{name or before} is empty; give it a value. See --help.")
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            parsed = tyro.cli(
                parsed_class,
                prog=prog,
                description=description,
                args=argv,
                default=tyro.MISSING_NONPROP if default is None else default,
            )
            return config_class(**dict(_options(parsed))) if groups else parsed
    except SystemExit as done:
        if done.code in (0, None):  # --help
            raise
    # tyro draws a box: a title, the message over one or more lines, a rule, hints
    message, *hints = [
        " ".join(line.strip(" │|") for line in block.splitlines())
        for block in re.split(r".*(?:───|---).*\n", printed.getvalue())[1:]
    ]
    message = message.removeprefix(f"Error parsing {config_class.__name__}: ")
    raise UsageError(_explained(message, " ".join(hints)))


def _paragraphs(description):
    """A description within 80 columns: tyro joins lines that are not indented."""
    first, *others = inspect.cleandoc(description).split("\n\n")
    paragraphs = [
        f"\n{text}"
        if ":\n  " in text
        else textwrap.fill(text, 78, initial_indent="  ", subsequent_indent="  ")
        for text in others
    ]
    about_debug = f"{DEBUG} prints the traceback of an error, too."
    return "\n".join([first, *paragraphs, about_debug])


def completed_name(prog: str) -> str:
    """What to call a command so that a shell completes it: one word.

    Example:
        >>> completed_name("python -m keras_vae.train")
        'keras-vae-train'
    """
    words = prog.removeprefix("python -m ").removeprefix("keras_vae.").split()
    return "-".join(["keras-vae", *words]).replace("_", "-")


def _grouped_class(config_class, groups):
    """What tyro is to parse: the class, or one with a field for each of its groups."""
    import tyro

    if not groups:
        return config_class
    fields = [
        (heading, tyro.conf.OmitArgPrefixes[group], group())
        for heading, group in groups.items()
    ]
    return dataclasses.make_dataclass(config_class.__name__, fields, frozen=True)


def _grouped(config, parsed_class, groups):
    """A config as one of `_grouped_class`."""
    if not groups:
        return config
    return parsed_class(
        *(
            group(
                **{f.name: getattr(config, f.name) for f in dataclasses.fields(group)}
            )
            for group in groups.values()
        )
    )


def _explained(message, hints):
    """An error of tyro's in the user's words."""
    if unknown := re.match(r"Unrecognized options: ([^,]*)", message):
        near = re.findall(r"meant:\W+(--[\w-]+)", hints)
        if todo := re.search(r"Available subcommands: ([\w, ]+?)(?= For |$)", hints):
            near = difflib.get_close_matches(unknown[1], todo[1].split(", "))
        near = f" Did you mean {near[0]}?" if near else ""
        kind = "option" if unknown[1].startswith("-") else "argument"
        return f"Unknown {kind} {unknown[1].strip()}.{near} See --help."
    if missing := re.match(r"Missing from .*?: (.*)", message):
        names = re.findall(r"(?:^|\(required\) )(\S+)", missing[1])
        verb = "is" if len(names) == 1 else "are"
        return f"{' and '.join(names)} {verb} missing. See --help."
    if choice := re.match(r"Expected one of \{(.*)\}", message):
        return f"What to do is missing: one of {choice[1]}. See --help."
    if few := re.match(r"Missing value for argument '(.*?)'. Expected (.*)\.", message):
        return f"{few[1]} takes {few[2]}. See --help."
    if wrong := re.match(
        r"Error parsing (--[\w-]+): .*(?:from|arguments) \[(.*?)\]", message
    ):
        value = wrong[2].replace("', '", " ")
        advice = "See --help."
        if number := re.search(r"expected argument count (\d+)", message):
            advice = f"It takes {number[1]} values. {advice}"
        several = re.sub(r",|(?<=\d)x(?=\d)", " ", value.strip("'"))
        if several != value.strip("'"):
            advice = f"Put spaces between values: {wrong[1]} {several}."
        return f"{wrong[1]} cannot be {value}. {advice}"
    if wrong := re.match(r"Error parsing (--[\w-]+): .* int\(\).*: (.*)", message):
        return f"{wrong[1]} must be a whole number; got {wrong[2].strip()}. See --help."
    if wrong := re.match(r"Error parsing (--[\w-]+): .* to float: (.*)", message):
        return f"{wrong[1]} must be a number; got {wrong[2].strip()}. See --help."
    return message if "--help" in message else f"{message} See --help."


def _printable(message):
    """A message as one line that cannot steer a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in " ".join(message.split())
    )
