"""`python -m keras_vae.explore RUN PICTURE`: what its latents mean.

Here are the options; `keras_vae.exploring.views` makes the pictures.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from keras_vae.cli import command, conclude, start_tensorflow
from keras_vae.errors import UsageError, number, to_type, unknown, whole_number
from keras_vae.flags import A_CLASS, one_of
from keras_vae.options import choices, options

if TYPE_CHECKING:
    from keras_vae.pictures.tables import Table
    from keras_vae.runs.trained import TrainedRun

PATHS = "keras_vae.exploring.paths.PATHS"
MOST = 100  # rows or columns of a picture


@options
class Traverse:
    """Vary one latent a row, those that matter most first."""

    image: int | None = None
    """Start where this test image is encoded."""
    seed: int | None = None
    """Start at the first image that this seed generates; None is 0."""
    label: Annotated[str | int | None, A_CLASS] = None
    """The class to decode as, a number from 0 or a name, for a conditional model; None
    is that of the image."""
    dimensions: int = 10
    """Rows: latents, 100 at most, by their mean KL divergence over the test images, or
    by the variance of the posterior mean where the divergence is no sum over latents.
    """
    steps: int = 7
    """Columns, 100 at most: values from -3 to 3 standard deviations of the prior."""
    output: Path = Path("traverse.png")
    """The .png to write, or a .gif, whose frames are the columns."""


@options
class Interpolate:
    """Go from one image to another through the latent space."""

    images: tuple[int, int] | None = None
    """From this test image to that."""
    seeds: tuple[int, int] | None = None
    """From the first image that this seed generates to that of another; None is 0 1."""
    label: Annotated[str | int | None, A_CLASS] = None
    """The class to decode as, a number from 0 or a name, for a conditional model; None
    is that of the image."""
    path: Annotated[str, one_of(PATHS)] = "spherical"
    """A straight line, or a great circle, which keeps to where the prior draws are."""
    steps: int = 11
    """Points on the path, with both ends; 100 at most."""
    output: Path = Path("interpolate.png")
    """The .png to write, or a .gif, whose frames are the points."""


@options
class Attribute:
    """Add the difference of two classes' mean latents to images."""

    from_class: Annotated[str | int, tyro.conf.arg(name="from"), A_CLASS]
    """The class to leave, a number from 0 or a name."""
    to_class: Annotated[str | int, tyro.conf.arg(name="to"), A_CLASS]
    """The class to go to."""
    images: tuple[int, ...] = ()
    """Test images to change; none given: the first six of the class to leave."""
    strength: float = 1.5
    """How many times the difference is added at the end, 1,000 at most."""
    steps: int = 7
    """Columns, 100 at most: strengths from 0 up to that."""
    output: Path = Path("attribute.png")
    """The .png to write, or a .gif, whose frames are the columns."""


@options
class Manifold:
    """Decode the plane of a model with two latents, evenly under the prior."""

    label: Annotated[str | int | None, A_CLASS] = None
    """The class, a number from 0 or a name, for a conditional model."""
    steps: int = 20
    """Rows and columns, 100 at most."""
    output: Path = Path("manifold.png")
    """The .png to write."""


@options
class Plots:
    """Draw the posterior means by class, what each latent carries, and the loss."""

    output: Path = Path("plots.png")
    """The .png to write."""


@tyro.conf.configure(tyro.conf.CascadeSubcommandArgs)
@options
class ExploreConfig:
    """Look into the latent space of a trained model.

    Examples:
      python -m keras_vae.explore saved_models/vae traverse --image 3
      python -m keras_vae.explore saved_models/vae interpolate --images 0 300
      python -m keras_vae.explore saved_models/vae plots --output plots.png
    """

    run: tyro.conf.Positional[Path]
    """The run folder."""
    picture: tyro.conf.OmitSubcommandPrefixes[
        Traverse | Interpolate | Attribute | Manifold | Plots
    ]
    """What to show; each has its own --help after it."""
    dataset: str | None = None
    """Where the run's images are now, if not where they were."""


def explore(config: ExploreConfig) -> None:
    """Writes one picture of a run's latent space.

    Args:
        config: The options.

    Raises:
        KerasVAEError: If the run, its data or an option cannot be used.

    Example:
        >>> explore(ExploreConfig(Path("saved_models/vae"), Traverse(seed=7)))
    """
    options = config.picture
    _check(options)
    start_tensorflow()
    from keras_vae.exploring.views import charts_of
    from keras_vae.pictures import charts
    from keras_vae.runs.trained import TrainedRun

    trained = TrainedRun(config.run, config.dataset)
    if isinstance(options, Plots):
        title = f"{config.run.name}: {len(trained.images):,} test images of "
        title += trained.source.name
        charts.save_charts(charts_of(trained), options.output, title)
        title = f"Charts of {config.run}"
    else:
        table = view(trained, options)
        title = table.title
        table.save(options.output)
    conclude(f"{title}: {options.output}.", _other(config, trained))


def _other(config, trained):
    """The command for another picture of the run."""
    other = "interpolate" if isinstance(config.picture, Traverse) else "traverse"
    command = f"{to_type('python -m keras_vae.explore', config.run)} {other}"
    if config.dataset is not None:
        command = to_type(f"{command} --dataset", config.dataset)
    if trained.vae.num_classes is not None:
        label = vars(config.picture).get("label")
        command = to_type(f"{command} --label", 0 if label is None else label)
    return command


def view(
    trained: "TrainedRun", options: Traverse | Interpolate | Attribute | Manifold
) -> "Table":
    """A picture of the latent space, to look at in a notebook or to save.

    Args:
        trained: `TrainedRun(folder)`, or `TrainedRun.of(vae, images)`.
        options: What to show; its `output` is not looked at.

    Returns:
        The table, whose `picture()` a notebook shows.

    Raises:
        UsageError: If an option cannot be used.

    Example:
        >>> view(TrainedRun.of(vae, digits.test), Traverse(seed=7)).picture()
    """
    from keras_vae.exploring import views

    function = {
        Traverse: views.traverse,
        Interpolate: views.interpolate,
        Attribute: views.attribute,
        Manifold: views.manifold,
    }[type(options)]
    given = {name: value for name, value in vars(options).items() if name != "output"}
    return function(trained, **given)


def _check(options):
    """Refuses what can be refused without loading the run."""
    from keras_vae.pictures.grids import check_picture

    animated = not isinstance(options, Manifold | Plots)
    kinds = (".png", ".gif") if animated else (".png",)
    check_picture(options.output, kinds)
    if not isinstance(options, Plots):
        whole_number("steps", options.steps, minimum=2, maximum=MOST)
    if isinstance(options, Traverse):
        whole_number("dimensions", options.dimensions, maximum=MOST)
        if options.image is not None and options.seed is not None:
            raise UsageError("Start at --image or at --seed, not at both.")
    if isinstance(options, Attribute):
        number("strength", options.strength, maximum=1000)
    if isinstance(options, Interpolate):
        if options.path not in choices(PATHS):
            raise unknown("path", options.path, choices(PATHS))
        if options.images is not None and options.seeds is not None:
            raise UsageError("Go between --images or between --seeds, not both.")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(explore, ExploreConfig, argv, prog="python -m keras_vae.explore")


if __name__ == "__main__":
    sys.exit(main())
