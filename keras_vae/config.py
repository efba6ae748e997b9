"""The options of a training run: one frozen dataclass <-> JSON <-> command line."""

import ast
import dataclasses
import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tyro

from keras_vae.distributions.portable_noise import MAX_LATENT_DIM
from keras_vae.errors import ModelError, UsageError, number, unknown, whole_number


@cache
def choices(table: str) -> tuple[str, ...]:
    """The names in a table, read from its source without importing it.

    A table is a dict literal at the foot of its module. Parsing it instead of importing
    it lets a command print its help without loading TensorFlow, and nothing is listed
    twice.

    Args:
        table: Where it stands, e.g. `"keras_vae.distributions.table.LIKELIHOODS"`.

    Returns:
        The table's keys, in order.

    Example:
        >>> choices("keras_vae.objectives.table.OBJECTIVES")[0]
        'elbo'
    """
    module, _, name = table.rpartition(".")
    package, _, stem = module.rpartition(".")
    folder = files(package or module)
    source = folder.joinpath(f"{stem}.py" if package else "__init__.py").read_text()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return tuple(ast.literal_eval(key) for key in node.value.keys)
    raise LookupError(f"{module} has no table {name}")


def one_of(table: str):
    """An annotation: a name out of `table`, shown as such in the help text."""
    return tyro.conf.arg(metavar="{" + ",".join(choices(table)) + "}")


AXES = {
    "network": "keras_vae.networks.NETWORKS",
    "posterior": "keras_vae.distributions.table.POSTERIORS",
    "prior": "keras_vae.distributions.table.PRIORS",
    "likelihood": "keras_vae.distributions.table.LIKELIHOODS",
    "objective": "keras_vae.objectives.table.OBJECTIVES",
    "activation": "keras_vae.networks.ACTIVATIONS",
    "optimizer": "keras_vae.training.optimizers.OPTIMIZERS",
    "binarization": "keras_vae.data.binarization.BINARIZATIONS",
}

# option -> the least and the most that it may be, where it is not None
WHOLE_NUMBERS = {
    "epochs": (1, 1_000_000),
    "batch_size": (1, 1_000_000),
    "validation_images": (0, None),
    "latent_dim": (1, MAX_LATENT_DIM),
    "num_flows": (1, 100),
    "num_components": (1, 100_000),
    "num_mixtures": (1, 1000),
    "warmup_cycles": (1, 1_000_000),
    "num_samples": (1, 10_000),
    "seed": (0, 2**24 - 1),
    "fused_steps": (1, 100_000),
}
MAX_WIDTH = 1_000_000  # of a hidden layer
NUMBERS = {
    "learning_rate": (0, 1e30),
    "sigma": (0, 1e30),
    "beta": (0, 1e30),
    "kl_warmup": (0, 1_000_000),
    "free_bits": (0, 1e30),
}

# What older files lack: for each format of config.json after the first, its new options
# with the value that a file without them means. So a file has every option of the
# version that wrote it, and none is ever taken from today's defaults.
ADDED: tuple[dict[str, Any], ...] = ()


# names of before
RENAMED = {"discretised_logistic_mixture": "discretized_logistic_mixture"}


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train a variational autoencoder and export its decoder.

    The defaults are the textbook model: 784-400-20-400-784, ReLU, Bernoulli decoder,
    Adam 1e-3, batch 128, 150 epochs.
    """

    dataset: str = "auto"
    """mnist, fashion_mnist, digits, tfds:NAME, an IDX folder, a .npz or .npy file; auto
    is MNIST where it can be had, otherwise digits."""
    output: Path = Path("saved_models/vae")
    """The run folder to write."""
    overwrite: bool = False
    """Replace the run in that folder if there is one."""
    epochs: int = 150
    """Passes over the training images, at most 1,000,000."""
    batch_size: int = 128
    """Images in an optimizer step; more than there are is all of them."""
    optimizer: Annotated[str, one_of(AXES["optimizer"])] = "adam"
    """How the weights follow the gradient; muon wants larger batches and steps."""
    learning_rate: float = 1e-3
    """The optimizer's step size."""
    cosine_decay: bool = False
    """Let the step size fall to 0 along half a cosine over the run."""
    validation_images: int | None = None
    """Training images held out; None is 1,000, or a tenth where that is fewer."""
    network: Annotated[str, one_of(AXES["network"])] = "mlp"
    """Encoder and decoder."""
    hidden: tuple[int, ...] | None = None
    """Widths of the encoder's hidden layers; the decoder mirrors them. None is 400; for
    conv, whose layers halve the image, 32 64."""
    activation: Annotated[str, one_of(AXES["activation"])] = "relu"
    """The hidden layers' activation function."""
    output_bias: bool = False
    """Start the decoder's output at the mean training image, as Burda et al. do."""
    conditional: bool = False
    """Give the label to both networks, so that it can be chosen when generating."""
    latent_dim: int = 20
    """Width of z, at most 4,096."""
    posterior: Annotated[str, one_of(AXES["posterior"])] = "diagonal_gaussian"
    """q(z|x)."""
    num_flows: int | None = None
    """Steps of the iaf posterior; None is 2."""
    prior: Annotated[str, one_of(AXES["prior"])] = "standard_normal"
    """p(z)."""
    num_components: int | None = None
    """Components of the prior; None is 64 of a mixture, 500 of a vampprior."""
    likelihood: Annotated[str, one_of(AXES["likelihood"])] = "bernoulli"
    """p(x|z)."""
    sigma: float | None = None
    """The gaussian likelihood's standard deviation, or where it starts; None is 0.1."""
    scale: Literal["fixed", "learned", "predicted"] | None = None
    """Whether sigma is kept, learned, or predicted for each pixel; None is learned."""
    num_mixtures: int | None = None
    """Logistics of a discretized_logistic_mixture for each pixel; None is 5."""
    objective: Annotated[str, one_of(AXES["objective"])] = "elbo"
    """What is maximized."""
    beta: float | None = None
    """Weight of the KL term; None is the objective's own (1, or 6 for beta_tcvae)."""
    kl_warmup: float = 0.0
    """Epochs over which the KL term's weight rises from 0."""
    warmup_cycles: int | None = None
    """How often it rises, each time followed by as many epochs at 1; None is once."""
    free_bits: float = 0.0
    """Nats of each latent's KL divergence that cost nothing."""
    num_samples: int = 1
    """Posterior samples an image in a training step, at most 10,000."""
    binarization: Annotated[str, one_of(AXES["binarization"])] = "grey"
    """What the model sees of grey pixels."""
    seed: int = 0
    """The one seed of splits, weights, image order and noise."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the networks' products; weights, losses and exports are float32 always."""
    fused_steps: int | None = None
    """Optimizer steps in one compiled call, an epoch's at most; None chooses, 1 is the
    stock Keras loop."""
    export: tuple[str, ...] = ("saved_model", "onnx")
    """Formats to export the decoder to at the end, or none."""

    def __post_init__(self):
        likelihood = RENAMED.get(self.likelihood, self.likelihood)
        object.__setattr__(self, "likelihood", likelihood)
        if self.hidden is None:  # so that config.json says what was built
            widths = (32, 64) if self.network == "conv" else (400,)
            object.__setattr__(self, "hidden", widths)
        self._check_types()
        for field, bounds in WHOLE_NUMBERS.items():
            if getattr(self, field) is not None:
                whole_number(field, getattr(self, field), *bounds)
        for width in self.hidden:
            whole_number("each width in hidden", width, 1, MAX_WIDTH)
        for field, bounds in NUMBERS.items():
            if getattr(self, field) is not None:
                number(field, getattr(self, field), *bounds)
        self._require("learning_rate", self.learning_rate > 0, "a number > 0")
        self._require("hidden", self.hidden, "one or more whole numbers")
        self._require(
            "warmup_cycles",
            self.warmup_cycles is None or self.kl_warmup > 0,
            "left out where kl_warmup is 0",
        )
        if self.precision not in (names := ("float32", "bfloat16")):
            raise unknown("precision", self.precision, names)
        for field, table in AXES.items():
            if getattr(self, field) not in choices(table):
                raise unknown(field, getattr(self, field), choices(table))
        formats = choices("export.FORMATS")
        for name in self.export:
            if name not in formats and self.export != ("none",):
                raise unknown("export format", name, [*formats, "none"])

    def _check_types(self):
        """Refuses what only a config.json can hold: the command line has types."""
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if kind in (bool, str) and type(value) is not kind:
                raise UsageError(
                    f"{field.name} must be of type {kind.__name__}; got {value!r}."
                )
            if value is None and field.default is not None:
                raise UsageError(f"{field.name} must not be None.")

    def _require(self, field: str, holds: Any, rule: str):
        if not holds:
            raise UsageError(f"{field} must be {rule}; got {getattr(self, field)!r}.")

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
            for added in ADDED[len(ADDED) - later :]:
                options = added | options
            fields = {field.name for field in dataclasses.fields(cls)}
            if missing := sorted(fields - set(options)):
                raise ValueError(f"it lacks {', '.join(missing)}")
            if others := sorted(set(options) - fields):
                raise ValueError(f"it has the unknown option {', '.join(others)}")
            for field in ("hidden", "export"):
                options[field] = tuple(options[field])
            return cls(**options | {"output": Path(options["output"])})
        except (ValueError, TypeError, AttributeError) as error:
            raise ModelError(
                "The run's config.json is not a config of this version "
                f"({str(error).rstrip('.')}); train the run again."
            ) from error
