"""The options of a training run, under the headings that its help has for them.

Here stand the options of the run itself. Those of components (a prior's number of
components, an objective's beta) are read from the components' own signatures, and stand
where the component is chosen.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from keras_vae.flags import AXES, FLAGS, annotation, one_of
from keras_vae.options import options


@options
class DataOptions:
    """Which images, and how they are read."""

    dataset: Annotated[str, one_of("keras_vae.data.sources.SOURCES")] = "auto"
    """Where the images come from; auto is MNIST where it can be had, else digits."""
    image_size: tuple[int, ...] | None = None
    """Of a folder's images: height, or height and width; None where all have one."""
    resize: Literal["crop", "pad", "stretch"] = "crop"
    """To that size: scale to cover it and cut, to fit in it and pad, or stretch."""
    channels: Literal[1, 3] | None = None
    """Of a folder's images: 1 for grey, 3 for color; None is 1 if all are grey."""
    background: str = "white"
    """The color behind transparent pixels, and around padded images."""
    max_megapixels: int = 16
    """Million pixels that an image file may have, at most 89."""
    skip_broken: bool = False
    """Go on without image files that cannot be read."""
    memory_budget: float | None = None
    """Gigabytes of a folder's pixels to hold in memory; more are read when they are
    needed. None is a quarter of the machine's memory."""
    cache: str | None = None
    """A folder to keep a folder's decoded images in, for this run and later ones."""
    validation_images: int | None = None
    """Training images held out; None is 1,000, or a tenth where that is fewer."""
    binarization: Annotated[str, one_of(AXES["binarization"])] = "grey"
    """What the model sees of the pixels: them; zeros and ones drawn anew at each use, a
    channel's value being the probability; or images that have no other already."""


@options
class ModelOptions:
    """The networks and the distributions."""

    network: Annotated[str | None, one_of(AXES["network"])] = None
    """Encoder and decoder."""
    latent_dim: tuple[int, ...] | None = None
    """Width of z, at most 4,096; several are those of levels, from the top on."""
    posterior: Annotated[str, one_of(AXES["posterior"])] = "diagonal_gaussian"
    """q(z|x)."""
    prior: Annotated[str | None, one_of(AXES["prior"])] = None
    """p(z)."""
    likelihood: Annotated[str | None, one_of(AXES["likelihood"])] = None
    """p(x|z)."""
    conditional: bool = False
    """Give the label to both networks, so that it can be chosen when generating."""
    output_bias: bool = False
    """Start the decoder's output at the mean training image, as Burda et al. do."""


@options
class ObjectiveOptions:
    """What is maximized."""

    objective: Annotated[str, one_of(AXES["objective"])] = "elbo"
    """What is maximized."""
    num_samples: int = 1
    """Posterior samples an image in a training step, at most 10,000."""
    kl_warmup: float = 0.0
    """Epochs over which the KL term's weight rises from 0."""


@options
class TrainingOptions:
    """Epochs and steps, and what they run on."""

    epochs: int = 150
    """Passes over the training images, at most a million."""
    batch_size: int | None = None
    """Images in an optimizer step; more than there are is all of them."""
    optimizer: Annotated[str, one_of(AXES["optimizer"])] = "adam"
    """How the weights follow the gradient; muon wants larger batches and steps."""
    learning_rate: float = 1e-3
    """The optimizer's step size."""
    learning_rate_warmup: float = 0.0
    """Epochs over which the step size rises from 0."""
    cosine_decay: bool = False
    """Let the step size fall to 0 along half a cosine over the run."""
    early_stopping: int | None = None
    """Stop after so many epochs in which the validation loss has not fallen, and keep
    the weights of the best epoch."""
    seed: int = 0
    """The one seed of splits, weights, image order and noise."""
    precision: Literal["float32", "bfloat16", "float16"] | None = None
    """What the networks multiply in; weights, losses and exports are float32 always."""
    devices: int = 1
    """How many GPUs of this machine to train on, or, to try it, parts of the CPU; 0 is
    all GPUs. Several machines are named by TF_CONFIG."""
    worker_timeout: int = 300
    """Seconds to wait for another machine."""
    fused_steps: int | None = None
    """Optimizer steps in one compiled call, an epoch's at most; None chooses, 1 is the
    stock Keras loop."""


@options
class OutputOptions:
    """What is written, and where; how a run goes on."""

    output: Path = Path("saved_models/vae")
    """The run folder to write."""
    overwrite: bool = False
    """Replace the run in that folder if there is one."""
    resume: bool = False
    """Finish the run in that folder with its own options; --epochs may be raised."""
    elsewhere: bool = False
    """Resume also on another machine or other versions, where last bits may differ."""
    checkpoint_every: tuple[int, Literal["epochs", "steps", "minutes"]] = (1, "epochs")
    """How often the run is saved, beside at its end and at Ctrl-C."""
    pictures_every: int = 1
    """Epochs from pictures of samples to the next; those of the last are there, too."""
    tensorboard: bool = False
    """Write metrics and pictures for TensorBoard, too."""
    export: tuple[str, ...] = ("saved_model", "onnx")
    """Formats to export the decoder to at the end; the word none for no export."""


def _with_components(group):
    """A group of options with those of the components that are chosen in it."""
    axes = {field.name for field in dataclasses.fields(group)}
    return dataclasses.make_dataclass(
        group.__name__,
        [
            (name, annotation(name, flag), None)
            for name, flag in FLAGS.items()
            if flag.axis in axes
        ],
        bases=(group,),
        frozen=True,
        namespace={"__doc__": group.__doc__, "__module__": __name__},
    )


# heading -> the options under it
GROUPS = {
    "data": DataOptions,
    "model": _with_components(ModelOptions),
    "objective": _with_components(ObjectiveOptions),
    "training": _with_components(TrainingOptions),
    "run": OutputOptions,
}
