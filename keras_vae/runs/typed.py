"""The options of `keras_vae.train` as typed: over a recipe's, a file's or a run's."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from keras_vae.config import TrainConfig
from keras_vae.data.image_files import ImageOptions
from keras_vae.errors import ModelError, UsageError, to_type
from keras_vae.flags import COMPONENTS, FLAGS, as_flags
from keras_vae.options import choices, options
from keras_vae.recipes import RECIPES, recipe
from keras_vae.run_options import GROUPS
from keras_vae.run_paths import at_hand
from keras_vae.runs.facts import wrong_facts
from keras_vae.runs.folder import RunFolder, read_config
from keras_vae.runs.resuming import options_of_run

# options that say how a run is written, not what it is: they are not repeated
ONCE = ("output", "overwrite", "resume", "elsewhere")
# options that decide which images there are
IMAGES = {"dataset", "validation_images"} | (
    {field.name for field in dataclasses.fields(ImageOptions)}
    - {"memory_budget", "cache"}
)

# option -> the axis whose component it goes with
AXIS_OF = {name: flag.axis for name, flag in FLAGS.items()} | {
    "learning_rate": "optimizer",
    "kl_warmup": "objective",
}

_TABLE = "keras_vae.networks.table"
# networks that decide on the widths of z themselves
WITHOUT_LATENT_DIM = {*choices(f"{_TABLE}.EVERY")} - {*choices(f"{_TABLE}.NETWORKS")}

_RECIPES = "".join(f"\n- {name}: {row.about}" for name, row in RECIPES.items())


@options
class _Source:
    """Where options come from; those that are typed override them."""

    recipe: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="NAME",
            help=f"Take the options of a good run:{_RECIPES}",
        ),
    ] = None
    config: Path | None = None
    """Take the options of a run, to repeat it: its folder, or its config.json.
    A part that a flag changes, of this or of a recipe, comes with its own defaults."""


@dataclasses.dataclass(frozen=True)
class TypedOptions(TrainConfig, _Source):
    """Options of a run as they are typed, and where those come from that are not."""

    def __post_init__(self):
        """Nothing is checked: what these go with is known when all are together."""

    def together(self) -> TrainConfig:
        """The options of the run.

        Raises:
            UsageError: If one of them is wrong, or they do not go together.
        """
        fields = dataclasses.fields(TrainConfig)
        return TrainConfig(
            **{field.name: getattr(self, field.name) for field in fields}
        )


# heading -> the options under it
TYPED_GROUPS = {"recipe": _Source} | GROUPS


def options_beneath(typed: TypedOptions) -> TypedOptions | None:
    """What options stand for that are not typed, where it is not the defaults.

    A component that is typed in place of another leaves out what goes with that one.

    Args:
        typed: The options so far. The first time they are parsed over the defaults, and
            a component that is not typed reads as one that is; so it is to be asked
            again after they are parsed over what it gave.

    Raises:
        UsageError: If there is no such recipe, or two places to take them from.
        ModelError: If there is no such config or run, or it cannot be used.

    Example:
        >>> beneath = options_beneath(TypedOptions(recipe="vampprior", prior="mixture"))
        >>> beneath.prior, beneath.num_components, beneath.latent_dim
        ('vampprior', None, (40,))
    """
    if (typed.recipe is not None) + (typed.config is not None) + typed.resume > 1:
        raise UsageError(
            "--recipe, --config and --resume each say what the options are; give one."
        )
    if typed.recipe is not None:
        options = recipe(typed.recipe).options
    elif typed.config is not None:
        options = vars(_read(typed.config)[0])
        options = {name: options[name] for name in options if name not in ONCE}
    elif (run := options_of_run(typed)) is not None:
        options = vars(run)
    else:
        return None
    beneath = TypedOptions(**options)
    changed = {
        axis for axis in COMPONENTS if getattr(typed, axis) != getattr(beneath, axis)
    }
    left_out = {
        field.name: field.default
        for field in dataclasses.fields(TrainConfig)
        if AXIS_OF.get(field.name) in changed
    }
    if WITHOUT_LATENT_DIM & {typed.network, beneath.network}:
        left_out["latent_dim"] = None  # it follows from the others
    return dataclasses.replace(beneath, **left_out)


def images_of_config(typed: TypedOptions) -> dict | None:
    """Facts about the images of the run that `--config` repeats.

    Returns:
        `data` of its config.json; None if other images are typed, or no run was made of
        that file.

    Raises:
        ModelError: If what the file says of them cannot be true.
    """
    if typed.config is None:
        return None
    config, data = _read(typed.config)
    if data is None or any(
        getattr(config, name) != getattr(typed, name) for name in IMAGES
    ):
        return None
    if wrong := wrong_facts(data):
        raise ModelError(f"{typed.config} {wrong}; leave --config out.")
    return data


def command_of(config: TrainConfig, refit: dict | None = None) -> str:
    """The command that makes such a run, all that is not a default as flags.

    Args:
        config: Its options; where it is written and exported is left out.
        refit: How its prior was fitted to another run, as its config.json notes it.

    Example:
        >>> command_of(TrainConfig(dataset="mnist", prior="flow", seed=1))
        'python -m keras_vae.train --dataset mnist --prior flow --seed 1'
    """
    defaults = vars(TrainConfig()) | {
        name: flag.defaults.get(getattr(config, flag.axis))
        for name, flag in FLAGS.items()
    }
    left_out = {*ONCE, "export", "cache"}
    if config.network in WITHOUT_LATENT_DIM:
        left_out.add("latent_dim")
    options = {
        name: value
        for name, value in vars(config).items()
        if name not in left_out and value not in (None, defaults[name])
    }
    if refit is None:
        return f"python -m keras_vae.train {as_flags(options)}".rstrip()
    of_prior = {"prior"} | {name for name in FLAGS if FLAGS[name].axis == "prior"}
    options = {name: options[name] for name in options if name in of_prior}
    options |= {name: value for name, value in refit.items() if name != "run"}
    run = Path(str(refit.get("run"))).name
    return f"{to_type('python -m keras_vae.refit', run)} {as_flags(options)}"


def _read(path):
    path = at_hand(path)
    file = RunFolder(path).config if path.is_dir() else path
    if not file.is_file():
        raise ModelError(
            f"There is no {file}; give --config a run's folder, or its config.json."
        )
    config, data = read_config(file)
    if isinstance(data, dict) and "refit" in data:
        raise ModelError(
            f"{path} has a prior that was fitted to a trained model, which --config "
            "cannot repeat; repeat that model's run, and run keras_vae.refit on it."
        )
    return config, data
