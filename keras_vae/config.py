"""The options of a training run: one frozen dataclass <-> JSON <-> command line.

The options themselves stand in `keras_vae.run_options`; here they are checked.
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from keras_vae.data.image_files import ImageOptions
from keras_vae.distributions.portable_noise import MAX_LATENT_DIM
from keras_vae.earlier_configs import ADDED
from keras_vae.errors import (
    ModelError,
    UsageError,
    number,
    shown,
    unknown,
    whole_number,
)
from keras_vae.flags import AXES, FLAGS, NAMES, annotation
from keras_vae.options import choices, fits
from keras_vae.run_options import (
    DataOptions,
    ModelOptions,
    ObjectiveOptions,
    OutputOptions,
    TrainingOptions,
)

# option -> the least and the most that it may be, where it is not None
WHOLE_NUMBERS = {
    "epochs": (1, 1_000_000),
    "batch_size": (1, 1_000_000),
    "validation_images": (0, None),
    "num_samples": (1, 10_000),
    "seed": (0, 2**24 - 1),
    "early_stopping": (1, 1_000_000),
    "fused_steps": (1, 100_000),
    "devices": (0, 1024),
    "worker_timeout": (1, 1_000_000),
    "pictures_every": (1, 1_000_000),
}
NUMBERS = {
    "learning_rate": (0, 1e30),
    "learning_rate_warmup": (0, 1_000_000),
    "kl_warmup": (0, 1_000_000),
}
UNITS = ("epochs", "steps", "minutes")
MOST = 1_000_000  # of any number that is a component's option

# names of before
RENAMED = {"discretised_logistic_mixture": "discretized_logistic_mixture"}


@dataclasses.dataclass(frozen=True)
class RunOptions(
    OutputOptions, TrainingOptions, ObjectiveOptions, ModelOptions, DataOptions
):
    """Train a variational autoencoder and export its decoder.

    Options left at None are chosen from the images; for 28x28 grey ones that is the
    textbook model: 784-400-20-400-784, ReLU, Bernoulli decoder, Adam 1e-3, batch 128,
    150 epochs.

    Examples:
      python -m keras_vae.train --dataset digits --epochs 20
      python -m keras_vae.train --dataset pictures/ --image-size 64
      python -m keras_vae.train --recipe burda_iwae_5 --output saved_models/iwae
      python -m keras_vae.train --resume
    """

    def __post_init__(self):
        if self.likelihood in RENAMED:
            object.__setattr__(self, "likelihood", RENAMED[self.likelihood])
        if not isinstance(self.latent_dim, tuple | None):  # of one level
            object.__setattr__(self, "latent_dim", (self.latent_dim,))
        self._check_types()
        self._require("latent_dim", self.latent_dim != (), "one width or more")
        for width in self.widths:
            whole_number("latent_dim", width)
        whole_number("latent_dim", sum(self.widths), 0, MAX_LATENT_DIM)
        for field, bounds in WHOLE_NUMBERS.items():
            if getattr(self, field) is not None:
                whole_number(field, getattr(self, field), *bounds)
        for field, bounds in NUMBERS.items():
            number(field, getattr(self, field), *bounds)
        ImageOptions(**self.image_options)
        self._require("learning_rate", self.learning_rate > 0, "a number > 0")
        if self.cosine_decay:
            self._require(
                "learning_rate_warmup",
                self.learning_rate_warmup < self.epochs,
                f"shorter than the {self.epochs} epochs of a cosine decay",
            )
        if self.precision not in (None, *(names := ("float32", "bfloat16", "float16"))):
            raise unknown("precision", self.precision, names)
        for field, table in AXES.items():
            name = getattr(self, field)
            if name is not None and name not in choices(table):
                raise unknown(field, name, choices(table))
        for name, flag in FLAGS.items():
            self._settle(name, flag)
        every, unit = self.checkpoint_every
        whole_number("checkpoint_every", every, 1, 1_000_000)
        self._require(
            "checkpoint_every", unit in UNITS, "a number of epochs, steps or minutes"
        )
        formats = choices("export.formats.FORMATS")
        self._require("export", self.export, "formats, or none")
        if "none" in self.export and self.export != ("none",):
            raise UsageError(
                f"export must be none alone, or formats; got {shown(self.export)}."
            )
        for name in self.export:
            if name not in (*formats, "none"):
                raise unknown("export format", name, [*formats, "none"])

    def _settle(self, name, flag):
        """Checks a component's option, or sets it to the default: the file says all."""
        component, value = getattr(self, flag.axis), getattr(self, name)
        if component is not None and component not in flag.defaults:
            if value is not None:
                raise UsageError(
                    f"The {flag.axis} {component} has no {name}; leave that option out,"
                    f" or choose the {flag.axis} {' or '.join(flag.defaults)}."
                )
            return
        if value is None:  # so is a component that is yet to be chosen
            object.__setattr__(self, name, flag.defaults.get(component))
            return
        if not fits(value, flag.kind) or value == ():
            raise UsageError(f"{name} cannot be {shown(value)}.")
        for item in value if isinstance(value, tuple | list) else [value]:
            if isinstance(item, int | float):
                number(name, item, minimum=-MOST, maximum=MOST)
        if name in NAMES and value not in choices(NAMES[name]):
            raise unknown(name, value, choices(NAMES[name]))

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the levels of z, from the top on; empty where that is yet to be chosen."""
        return self.latent_dim or ()

    @property
    def image_options(self) -> dict[str, Any]:
        """The arguments of `ImageOptions`."""
        fields = dataclasses.fields(ImageOptions)
        return {field.name: getattr(self, field.name) for field in fields}

    def batch_of(self, num_images: int) -> int:
        """Images in an optimizer step: all where there are fewer than `batch_size`."""
        return min(self.batch_size or num_images, num_images)

    def arguments(self, axis: str) -> dict[str, Any]:
        """The options of the component that was chosen for an axis, by its own names.

        Args:
            axis: A key of `COMPONENTS`.

        Returns:
            dict of its keyword arguments; those in `GIVEN` are not among them.
        """
        return {
            flag.argument: getattr(self, name)
            for name, flag in FLAGS.items()
            if flag.axis == axis and getattr(self, axis) in flag.defaults
        }

    def _check_types(self):
        """Refuses what only a config.json can hold: the command line has types."""
        for field in dataclasses.fields(RunOptions):
            value, kind = getattr(self, field.name), type(field.default)
            if kind in (bool, str) and type(value) is not kind:
                raise UsageError(
                    f"{field.name} must be of type {kind.__name__}; got {shown(value)}."
                )
            if value is None and field.default is not None:
                raise UsageError(f"{field.name} must not be None.")

    def _require(self, field: str, holds: Any, rule: str):
        if not holds:
            value = shown(getattr(self, field))
            raise UsageError(f"{field} must be {rule}; got {value}.")

    def to_json(self) -> str:
        """The config as JSON text, one option a line."""
        options = dataclasses.asdict(self) | {"output": str(self.output)}
        return json.dumps({"format": 1 + len(ADDED)} | options, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The config written by `to_json`, of this version or of an earlier one.

        Args:
            text: JSON; `data`, facts about the images beside the options, is ignored.

        Raises:
            ModelError: If an option is missing, unknown or wrong.
        """
        try:
            options = json.loads(text)
            options.pop("data", None)
            later = 1 + len(ADDED) - whole_number("format", options.pop("format", 1))
            if later < 0:
                raise ValueError("it is of a later version")
            if later == len(ADDED):
                options = _of_first_format(options)
            for added in ADDED[len(ADDED) - later :]:
                options = added | options
            _check_names(options)
            for name, value in options.items():
                if isinstance(value, list):
                    options[name] = tuple(value)
            return cls(**options | {"output": Path(options["output"])})
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(
                "The run's config.json is not a config of this version "
                f"({str(error)[:200].rstrip('.')}); train the run again."
            ) from error


def _of_first_format(options):
    """Options of the first format, where a component's default was left to it."""
    for name, flag in FLAGS.items():
        value = options.get(name)
        # free_bits was 0 for every objective
        if value is None or (name == "free_bits" and value == 0):
            options[name] = flag.defaults.get(options.get(flag.axis))
    if options.get("network") == "conv" and options["hidden"] is None:
        options["hidden"] = (32, 64)
    return options


def _check_names(options):
    """Refuses options by name: every run's, and its components', must be there."""
    needed = {field.name for field in dataclasses.fields(RunOptions)}
    for name, flag in FLAGS.items():
        if options.get(flag.axis) in flag.defaults:
            needed.add(name)
    if missing := sorted(needed - set(options)):
        raise ValueError(f"it lacks {', '.join(missing)}")
    if others := sorted(set(options) - needed - set(FLAGS)):
        raise ValueError(f"it has the unknown option {shown(others[0])}")


if TYPE_CHECKING:

    class TrainConfig(RunOptions):
        """The options of a run and of its components."""

        def __getattr__(self, name: str) -> Any: ...

else:
    TrainConfig = dataclasses.make_dataclass(
        "TrainConfig",
        [(name, annotation(name, flag), None) for name, flag in FLAGS.items()],
        bases=(RunOptions,),
        frozen=True,
        namespace={"__doc__": RunOptions.__doc__, "__module__": __name__},
    )
