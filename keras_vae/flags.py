"""The options of components as options of a run, read from the components."""

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, get_args

import tyro

from keras_vae.options import choices, options_of


def one_of(table: str):
    """An annotation: a name out of `table`, shown as such in the help text."""
    return tyro.conf.arg(metavar="{" + ",".join(choices(table)) + "}")


A_CLASS = tyro.conf.arg(metavar="CLASS")  # a number from 0, or a name

COMPONENTS = {  # axis -> its table
    "network": "keras_vae.networks.table.EVERY",
    "posterior": "keras_vae.distributions.table.POSTERIORS",
    "prior": "keras_vae.distributions.table.PRIORS",
    "likelihood": "keras_vae.distributions.table.LIKELIHOODS",
    "objective": "keras_vae.objectives.table.OBJECTIVES",
    "optimizer": "keras_vae.training.optimizers.OPTIMIZERS",
}
AXES = COMPONENTS | {"binarization": "keras_vae.data.binarization.BINARIZATIONS"}
# options that name something
NAMES = {"activation": "keras_vae.networks.layers.ACTIVATIONS"}

# arguments that the run gives a component: no options
GIVEN = {"seed", "num_classes", "num_images", "output_bias", "warmup_steps"}


class Flag(NamedTuple):
    """An option of components on the command line.

    Args:
        axis: The axis of the components that have it.
        argument: Their own name for it.
        kind: Its type.
        defaults: Component -> default, of those that have it.
        help: What it means.
    """

    axis: str
    argument: str
    kind: Any
    defaults: dict[str, Any]
    help: str


def component_flags() -> dict[str, Flag]:
    """The options of all components: one flag for those that share an option's name.

    A name that another axis has too is prefixed by its own: `posterior_hidden`.

    Returns:
        dict from the option's name.
    """
    flags: dict[str, Flag] = {}
    for axis, table in COMPONENTS.items():
        for component, options in options_of(table).items():
            for argument, option in options.items():
                if argument in GIVEN or option.kind is None:
                    continue
                name = argument
                if name in flags and flags[name].axis != axis:
                    name = f"{axis}_{argument}"
                flag = flags.setdefault(
                    name, Flag(axis, argument, option.kind, {}, option.help)
                )
                flag.defaults[component] = option.default
    return flags


FLAGS = component_flags()


def annotation(name, flag):
    """What the command line is told of a component's option."""

    def text(value):
        if value is None:
            return "off" if flag.axis == "optimizer" else "chosen from the images"
        return " ".join(map(str, value)) if isinstance(value, tuple) else f"{value}"

    components: dict[str, list[str]] = {}  # by default
    for component, value in flag.defaults.items():
        components.setdefault(text(value), []).append(component)
    defaults = [f"{value} for {', '.join(c)}" for value, c in components.items()]
    metavars = {int: "INT", float: "FLOAT", tuple[int, ...]: "INT [INT ...]"}
    metavar = metavars.get(flag.kind) or "{" + ",".join(get_args(flag.kind)) + "}"
    if name in NAMES:
        metavar = "{" + ",".join(choices(NAMES[name])) + "}"
    # of a docstring: without the type, which the metavar says
    about = re.sub(r"^(int|float|A name in `\w+`,) ", "", flag.help)
    about = re.sub(r"(\w)_\b", r"\1", about)
    shown = tyro.conf.arg(
        name=name.rstrip("_"),
        help=about[0].upper() + about[1:],
        metavar=metavar,
        help_behavior_hint=f"(default: {'; '.join(defaults)})",
    )
    return Annotated[flag.kind | None, shown]


def as_flags(options: Mapping[str, Any]) -> str:
    """Options as the flags that say them, quoted for a shell.

    Args:
        options: dict from the names of `TrainConfig`, of values that are not None.

    Example:
        >>> as_flags({"hidden": (200, 200), "cosine_decay": True, "lambda_": 2.0})
        '--hidden 200 200 --cosine-decay --lambda 2.0'
    """
    flags = []
    for name, value in options.items():
        name = name.rstrip("_").replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no-{name}")
        else:
            values = value if isinstance(value, tuple) else (value,)
            values = (shlex.quote(str(one)) for one in values)
            flags.append(" ".join([f"--{name}", *values]))
    return " ".join(flags)
