"""Options, documented where they stand: those of commands and those of components.

A command's are the fields of a dataclass, with a docstring below each.

Those of components are read from their source without importing it. A table (a dict
literal at the foot of its module) names components; the signature of each says its
options, with their types and defaults, and its docstring what they mean. Parsing them
instead of importing them lets a command print its help without loading TensorFlow, and
nothing is listed twice.
"""

import ast
import contextlib
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform, get_args

import tyro

Options = TypeVar("Options")

KINDS = {"int": int, "float": float, "str": str, "bool": bool}


@dataclass_transform(frozen_default=True)
def options(cls: type[Options]) -> type[Options]:
    """Makes a class a frozen dataclass, the docstring below each field its help text.

    tyro reads those docstrings as well, but breaks lines where the source does.

    Args:
        cls: A class of options for `keras_vae.cli.command`.

    Returns:
        The class.

    Example:
        >>> @options
        ... class Drawing:
        ...     seed: int = 0
        ...     '''Of the noise.'''
        >>> Drawing(seed=3).seed
        3
    """
    kinds = dict(cls.__annotations__)
    with contextlib.suppress(OSError):  # no source: no help, but the same options
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        for field, below in pairwise(getattr(definition, "body", ())):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(name)),
                    ast.Expr(ast.Constant(str(text))),
                ):
                    shown = tyro.conf.arg(help=" ".join(text.split()))
                    kinds[name] = Annotated[kinds[name], shown]
    cls.__annotations__ = kinds
    return dataclasses.dataclass(frozen=True)(cls)


@dataclasses.dataclass(frozen=True)
class Option:
    """An argument of a component that has a default.

    Attributes:
        kind: Its type: a name in `KINDS`, `tuple[int, ...]`, or a `Literal`.
        default: Its default.
        help: What the docstring says of it, without its type.
    """

    kind: Any
    default: Any
    help: str


@cache
def choices(table: str) -> tuple[str, ...]:
    """The names in a table.

    Args:
        table: Where it stands, e.g. `"keras_vae.distributions.table.LIKELIHOODS"`.

    Returns:
        The table's keys, in order.

    Example:
        >>> choices("keras_vae.objectives.table.OBJECTIVES")[0]
        'elbo'
    """
    return tuple(_rows(table))


@cache
def options_of(table: str) -> dict[str, dict[str, Option]]:
    """The options of each component in a table.

    An argument without a default is the caller's to give, one that a row of the table
    fixes (`partial(mlp, gated=True)`) tells rows apart: neither is an option.

    Args:
        table: Where it stands.

    Returns:
        dict from the component's name to a dict from its arguments' names.

    Example:
        >>> options_of("keras_vae.distributions.table.PRIORS")["mixture"].keys()
        dict_keys(['num_components', 'seed'])
    """
    module = table.rpartition(".")[0]
    rows = _rows(table)
    fixed = {
        keyword.arg
        for row in rows.values()
        if isinstance(row, ast.Call)
        for keyword in row.keywords
    }
    found = {}
    for name, row in rows.items():
        target = row.args[0] if isinstance(row, ast.Call) else row
        arguments = _arguments(module, ast.unparse(target))
        found[name] = {k: v for k, v in arguments.items() if k not in fixed}
    return found


def _rows(table):
    """Name -> expression, of a table."""
    module, _, name = table.rpartition(".")
    for node in _parsed(module).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target) != name:
                continue
            if isinstance(node.value, ast.BinOp):  # a union of two tables
                tables = ast.unparse(node.value.left), ast.unparse(node.value.right)
                return _rows(f"{module}.{tables[0]}") | _rows(f"{module}.{tables[1]}")
            if isinstance(node.value, ast.Dict):
                keys = [ast.literal_eval(key) for key in node.value.keys if key]
                return dict(zip(keys, node.value.values, strict=True))
    raise LookupError(f"{module} has no table {name}")


@cache
def _parsed(module):
    package, _, stem = module.rpartition(".")
    folder = files(package or module)
    path = folder / (f"{stem}.py" if package else "__init__.py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _arguments(module, name) -> dict[str, Option]:
    """The options of a function or class, found where it is defined."""
    for node in _parsed(module).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            if name in [alias.asname or alias.name for alias in node.names]:
                return _arguments(node.module, name)
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return _signature(node, ast.get_docstring(node))
        if isinstance(node, ast.ClassDef) and node.name == name:
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and member.name == "__init__":
                    return _signature(member, ast.get_docstring(node))
            return _arguments(module, ast.unparse(node.bases[0]))
    return {}


def _signature(function, docstring):
    arguments = function.args
    named = arguments.args[len(arguments.args) - len(arguments.defaults) :]
    pairs = [
        *zip(named, arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return {
        argument.arg: Option(
            _kind(argument.annotation),
            ast.literal_eval(default),
            _described(docstring or "", argument.arg),
        )
        for argument, default in pairs
        if default is not None
    }


def _kind(annotation):
    """The type that an annotation in the source stands for; None may be besides."""
    text = ast.unparse(annotation) if annotation else ""
    text = text.removesuffix(" | None")
    if text.startswith("Literal["):
        return Literal[ast.literal_eval(f"({text[8:-1]},)")]
    if text in ("Sequence[int]", "tuple[int, ...]"):
        return tuple[int, ...]
    return KINDS.get(text)


def _described(docstring, name):
    """What the `Args` section says of an argument, without the type before."""
    indent = r"\n    "
    match = re.search(rf"{indent}{name}: (.*?)(?={indent}\S|\n\n|\Z)", docstring, re.S)
    return " ".join(match[1].split()) if match else ""


def fits(value: object, kind: Any) -> bool:
    """Whether a value is of an option's type; whole numbers do for float.

    Args:
        value: What came, perhaps from a JSON file.
        kind: `Option.kind`.
    """
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == tuple[int, ...]:
        return isinstance(value, Sequence) and all(fits(item, int) for item in value)
    if inspect.isclass(kind):
        return type(value) is kind
    return value in get_args(kind)
