"""Charts of a run: numpy arrays in, PNG out. No TensorFlow.

Matplotlib is imported when the first chart is drawn, and used without pyplot, which
keeps state and looks for a screen.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from keras_vae.files import replaced
from keras_vae.pictures.grids import OURS

CLEARANCE = 0.055  # between the names of classes, as a share of the plane
SHORT = 5  # letters of a name that has room in the plane
NAMED = 100  # classes, at most, that are named in it


def save_charts(charts: Sequence[Callable], path: Path | str, title: str = "") -> None:
    """Draws charts side by side.

    Args:
        charts: Functions of one matplotlib `Axes`, which they draw on.
        path: where to, PNG; the file appears whole or not at all, and has the same
            bytes for the same charts.
        title: A sentence above all.

    Raises:
        OutputError: if it cannot be written.

    Example:
        >>> save_charts([partial(draw_history, history=history)], "history.png")
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4 * len(charts), 5.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for axes, draw in zip(
        figure.subplots(1, len(charts), squeeze=False)[0], charts, strict=True
    ):
        draw(axes)
    with replaced(Path(path)) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": OURS})


def draw_latents(axes, points, labels=None, class_names=None, names=("z0", "z1")):
    """Draws where images are encoded, colored by class.

    Classes are named at their middles; where a name is long, by their numbers, and a
    legend beside the plane gives the names.

    Args:
        axes: matplotlib `Axes`.
        points: float (N, 2).
        labels: int (N,), or None.
        class_names: Names of the classes; default: their numbers.
        names: Of the two axes.
    """
    from matplotlib import colormaps

    axes.set_title(
        "Posterior means of the test images"
        + (", by class" if labels is not None else "")
    )
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.set_aspect("equal", adjustable="datalim")
    size = min(30, max(5, 20_000 / len(points)))  # fewer points, larger ones
    style = {"s": size, "alpha": 0.6, "linewidths": 0}
    if labels is None:
        axes.scatter(*points.T, **style)
        return
    classes = np.unique(labels)
    if len(classes) <= 10:
        colors = colormaps["tab10"](range(10))
    else:
        colors = colormaps["turbo"](np.linspace(0, 1, len(classes)))
    rank = np.searchsorted(classes, labels)
    # in the order of the images: no class hides the others
    axes.scatter(*points.T, c=np.asarray(colors)[rank], **style)
    if len(classes) > NAMED:
        return
    medians = [np.median(points[rank == k], axis=0) for k in range(len(classes))]
    middles = apart(np.array(medians), CLEARANCE * np.ptp(points, axis=0).max())
    names = [str(class_names[label] if class_names else label) for label in classes]
    short = max(map(len, names)) <= SHORT
    for index, (label, name) in enumerate(zip(classes, names, strict=True)):
        axes.annotate(
            name if short else str(label),
            middles[index],
            ha="center",
            va="center",
            weight="bold",
            bbox={"boxstyle": "round", "fc": "white", "ec": colors[index], "lw": 2},
        )
        entry = name if short else f"{label}  {name}"
        axes.scatter([], [], color=colors[index], label=entry)
    many = len(classes) > 20
    if not (short and many):  # many short names stand at the middles alone
        axes.legend(
            loc="center left",
            bbox_to_anchor=(1, 0.5),
            frameon=False,
            fontsize="x-small" if many else None,
            ncols=math.ceil(len(classes) / 40),
        )


def apart(points: np.ndarray, distance: float) -> np.ndarray:
    """Points, those that are nearer to another than a distance pushed apart.

    Args:
        points: float (N, 2).
        distance: In the same unit.

    Returns:
        float (N, 2).

    Example:
        >>> apart(np.array([[0.0, 0.0], [0.4, 0.0], [9.0, 0.0]]), 1.0)[:, 0].round(1)
        array([-0.3,  0.7,  9. ])
    """
    turns = np.arange(len(points))[:, None]  # where two are one, any direction will do
    nudge = 1e-6 * distance * np.hstack([np.cos(turns), np.sin(turns)])
    for _ in range(200):
        gaps = points[:, None] - points[None]
        lengths = np.linalg.norm(gaps, axis=-1) + np.diag(np.full(len(points), np.inf))
        if (lengths >= 0.999 * distance).all():
            break
        gaps += nudge[:, None] - nudge[None]
        lengths = np.maximum(lengths, 1e-6 * distance)
        missing = np.maximum(distance - lengths, 0) / 2
        points = points + (gaps * (missing / lengths)[..., None]).sum(axis=1)
    return points


def draw_relevance(axes, values, active, name="KL divergence, nats per image"):
    """Draws bars, the highest first, one for each latent.

    Latents that are not in use are drawn grey. More than 50 go by their ranks, from 0,
    instead of their names.

    Args:
        axes: matplotlib `Axes`.
        values: float (D,), what each latent dimension carries.
        active: bool (D,), which latents are in use.
        name: What `values` are, with the unit.
    """
    order = np.argsort(-values, kind="stable")
    colors = ["tab:blue" if used else "silver" for used in active[order]]
    many = len(values) > 50
    axes.bar(range(len(values)), values[order], 1 if many else 0.8, color=colors)
    axes.set_title(f"Latents: {active.sum()} of {len(values)} active")
    axes.set_ylabel(name)
    axes.set_xlabel("latent, most relevant first")
    if many:  # their names have no room: their ranks
        axes.xaxis.get_major_locator().set_params(integer=True)
        return
    axes.set_xticks(range(len(values)), [f"z{k}" for k in order])
    if len(values) > 12:
        axes.tick_params("x", labelrotation=90, labelsize=8)


def read_history(path: Path | str) -> dict[str, np.ndarray]:
    """The columns of a history.csv, float (epochs,) each."""
    table = np.atleast_1d(np.genfromtxt(path, delimiter=",", names=True))
    return {name: table[name] for name in table.dtype.names or ()}


def draw_history(axes, history: dict[str, np.ndarray]):
    """Draws the loss of each epoch, in training and, where it was taken, validation.

    Args:
        axes: matplotlib `Axes`.
        history: Columns of history.csv: `epoch`, `loss`, `val_loss`.
    """
    for column, name in (("loss", "training"), ("val_loss", "validation")):
        if column in history:
            values = history[column]
            axes.plot(
                history["epoch"],
                values,
                ".-",
                label=f"{name}, at last {values[-1]:.2f}",
            )
    axes.set_title("Loss")
    axes.set_xlabel("epoch")
    axes.set_ylabel("nats per image")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
