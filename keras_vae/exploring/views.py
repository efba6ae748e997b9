"""Views of a latent space: tables of decoded images, and charts.

The ways through the latent space are those of `keras_vae.exploring.paths`.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from keras_vae.data.checks import class_number
from keras_vae.distributions.priors import StandardNormal
from keras_vae.errors import UsageError
from keras_vae.exploring import paths
from keras_vae.metrics.log_likelihood import active_units
from keras_vae.pictures import charts
from keras_vae.pictures.tables import Table
from keras_vae.runs.folder import RunFolder
from keras_vae.runs.trained import TrainedRun

PRIOR_DRAWS = 4096  # that tell the mean and the spread of a learned prior


def traverse(
    trained: TrainedRun,
    *,
    image: int | None,
    seed: int | None,
    label: int | str | None,
    dimensions: int,
    steps: int,
) -> Table:
    """Varies one latent a row, from -3 to 3 standard deviations of the prior.

    Args:
        trained: The run.
        image: The test image to start at, or None for a seed.
        seed: The seed whose first image to start at; None is 0.
        label: The class to decode as, for a conditional model; None is that of the
            image.
        dimensions: The number of rows, at most: latents by `TrainedRun.relevance`.
        steps: The number of columns.

    Returns:
        The decoded images, a latent a row, a value a column.

    Raises:
        UsageError: If there is no such image or class.
    """
    if image is not None:
        z = trained.mean[trained.check_image(image)]
        name = trained.describe(image)
    else:
        (z,) = trained.prior_draws(seed or 0)
        name = f"seed {seed or 0}"
    label = trained.check_label(label, image)
    relevance, unit = trained.relevance
    value = {"nats": "{:.2f} nats", "variance": "variance of its mean {:.2f}"}[unit]
    order = np.argsort(-relevance, kind="stable")[:dimensions]
    sigmas = np.linspace(-3, 3, steps)
    middle, spread = 0.0, 1.0
    if type(trained.vae.prior) is not StandardNormal:
        draws = trained.prior_draws(0, PRIOR_DRAWS)[:, order]
        middle, spread = draws.mean(axis=0)[:, None], draws.std(axis=0)[:, None]
    values = np.broadcast_to(middle + spread * sigmas, (len(order), steps))
    start = trained.decode(z[None], label)
    return Table(
        trained.decode(paths.traversal(z, order, values), label),
        [f"z{d}: {value.format(relevance[d])}" for d in order],
        [f"{sigma:g}" for sigma in sigmas.round(2)],
        f"Latents varied one by one, the most relevant first, around {name}"
        + _as_class(trained, label),
        "value of the latent, in standard deviations of the prior",
        before=("start", np.repeat(start, len(order), axis=0)),
    )


def interpolate(
    trained: TrainedRun,
    *,
    images: tuple[int, int] | None,
    seeds: tuple[int, int] | None,
    label: int | str | None,
    path: str,
    steps: int,
) -> Table:
    """Goes from one image to another on a path through the latent space.

    Args:
        trained: The run.
        images: The test images at the ends, or None for seeds.
        seeds: The seeds whose first images are at the ends; None is 0 and 1.
        label: The class to decode as, for a conditional model; None is that of the
            first image.
        path: A name in `paths.PATHS`.
        steps: The number of points.

    Returns:
        The decoded images, one row.

    Raises:
        UsageError: If there is no such image or class.
    """
    before = after = image = None
    if images is not None:
        image, _ = ends = [trained.check_image(index) for index in images]
        names = [trained.describe(index) for index in ends]
        before, after = (("input", trained.images[[index]]) for index in ends)
        z = trained.mean[ends]
    else:
        seeds = seeds or (0, 1)
        names = [f"seed {seed}" for seed in seeds]
        z = np.concatenate([trained.prior_draws(seed) for seed in seeds])
    label = trained.check_label(label, image)
    return Table(
        trained.decode(paths.PATHS[path](z[0], z[1], steps), label)[None],
        [""],
        [f"{t:.2g}" for t in np.linspace(0, 1, steps)],
        f"From {names[0]} to {names[1]}, {path} path{_as_class(trained, label)}",
        "share of the way",
        before,
        after,
    )


def attribute(
    trained: TrainedRun,
    *,
    from_class: int | str,
    to_class: int | str,
    images: tuple[int, ...],
    strength: float,
    steps: int,
) -> Table:
    """Adds the difference of two classes' mean latents to images.

    Args:
        trained: The run, of a model that is not conditional.
        from_class: The class to leave, by number or name.
        to_class: The class to go to.
        images: Test images; none given: the first six of the class to leave.
        strength: How many times the difference is added in the last column.
        steps: The number of columns; in the first nothing is added.

    Returns:
        The decoded images, a test image a row.

    Raises:
        UsageError: If there are no classes, or no such image or class.
    """
    labels = trained.source.test.labels
    if labels is None:
        raise UsageError(f"{trained.source.name} has no classes; attribute needs them.")
    if trained.vae.num_classes is not None:
        raise UsageError(
            "This model is conditional: its class is chosen with --label of traverse, "
            "interpolate or manifold, not by an attribute."
        )
    num_classes = trained.source.num_classes or 0
    from_class, to_class = (
        class_number(end, num_classes, trained.data["class_names"])
        for end in (from_class, to_class)
    )
    direction = paths.class_direction(trained.mean, labels, from_class, to_class)
    chosen = images or np.flatnonzero(labels == from_class)[:6]
    chosen = [trained.check_image(index) for index in chosen]
    strengths = np.linspace(0, strength, steps)
    z = trained.mean[chosen][:, None] + strengths[:, None] * direction  # (R, V, D)
    before, after = trained.class_name(from_class), trained.class_name(to_class)
    return Table(
        trained.decode(z),
        [trained.describe(index) for index in chosen],
        [f"{strength:g}" for strength in strengths.round(2)],
        f"Attribute: from class {before} to class {after}",
        f"strength, in multiples of mean latent of {after} - mean latent of {before}",
        before=("input", trained.images[chosen]),
    )


def manifold(trained: TrainedRun, *, label: int | str | None, steps: int) -> Table:
    """Decodes the plane of two latents on quantiles of the prior.

    Kingma & Welling (2014), figure 4.

    Args:
        trained: The run, with `latent_dim` 2 and the standard normal prior.
        label: The class, for a conditional model.
        steps: The number of rows and of columns.

    Returns:
        The decoded images: latent 0 grows to the right, latent 1 upwards.

    Raises:
        UsageError: If the run has another `latent_dim` or prior, or no such class.
    """
    latent_dim, prior = trained.vae.latent_dim, trained.vae.prior
    if latent_dim != 2:
        raise UsageError(
            f"The manifold is drawn for latent_dim 2; this run has {latent_dim}: use "
            "traverse."
        )
    if type(prior) is not StandardNormal:
        raise UsageError(
            "The manifold is drawn on quantiles of the standard normal prior; this run "
            f"has a {type(prior).__name__}: use traverse."
        )
    label = trained.check_label(label)
    names = [f"{value:.1f}" for value in paths.normal_quantiles(steps)]
    return Table(
        trained.decode(paths.quantile_grid(steps), label),
        names[::-1],
        names,
        f"The latent plane, evenly under the prior{_as_class(trained, label)}",
        "z0 to the right, z1 upwards",
    )


def _as_class(trained, label):
    return "" if label is None else f", as class {trained.class_name(label)}"


def charts_of(trained: TrainedRun) -> list[Callable]:
    """The charts of a run: latents, what each carries, and, where kept, the loss.

    Args:
        trained: The run.

    Returns:
        Functions for `charts.save_charts`. With one latent, or one image, there is no
        plane of latents.
    """
    test = trained.source.test
    points, names = trained.mean, ["z0", "z1"]
    if trained.vae.latent_dim > 2:
        points, share = paths.principal_components(trained.mean)
        names = [
            f"principal component {k} ({part:.0%} of the variance)"
            for k, part in enumerate(share, 1)
        ]
    drawn = []
    if min(trained.mean.shape) > 1:
        drawn.append(
            partial(
                charts.draw_latents,
                points=points,
                labels=test.labels,
                class_names=trained.source.class_names,
                names=names,
            )
        )
    values, unit = trained.relevance
    name = {
        "nats": "KL divergence, nats per image",
        "variance": "variance of the posterior mean",
    }[unit]
    drawn.append(
        partial(
            charts.draw_relevance,
            values=values,
            active=active_units(trained.mean),
            name=name,
        )
    )
    history = RunFolder(trained.run).history if trained.run else None
    if history and history.is_file():
        drawn.append(partial(charts.draw_history, history=charts.read_history(history)))
    return drawn
