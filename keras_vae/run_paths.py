"""Which run folder a path names: one that is there, or that came with the package."""

import difflib
from pathlib import Path

from keras_vae.errors import ModelError, to_type

PRETRAINED = ("mnist", "mnist-2d", "emoji")


def at_hand(path: Path | str) -> Path:
    """A path or, where nothing is there, what of that name came with the package.

    `saved_models/mnist`, `mnist-2d` and `emoji` are installed beside the package, to be
    read from any folder.

    Args:
        path: A run folder, or a path in one.

    Example:
        >>> at_hand("saved_models/vae")
        PosixPath('saved_models/vae')
    """
    path = Path(path)
    came = path.parts[:2] in [("saved_models", name) for name in PRETRAINED]
    return Path(__file__).parents[1] / path if came and not path.exists() else path


def missing(run: Path) -> ModelError:
    """The error for a run folder that is not there, to be raised by the caller.

    Of one that came with the package it says how to make a copy.

    Example:
        >>> str(missing(Path("saved_models/vea")))
        'There is no run folder saved_models/vea; did you mean saved_models/vae?'
    """
    if (came := at_hand(run)) != run:
        copy = to_type(f"mkdir -p {run.parent} && cp -r", came, run)
        return ModelError(
            f"{run} came with the package and is only to be read; copy it: `{copy}`."
        )
    near: list[str] = []
    if run.parent.is_dir():
        names = [each.name for each in run.parent.iterdir() if each.is_dir()]
        near = difflib.get_close_matches(run.name, names, n=1)
    if near:
        advice = f"did you mean {run.with_name(near[0])}?"
    else:
        train = to_type("python -m keras_vae.train --output", run)
        advice = f"train one with `{train}`."
    return ModelError(f"There is no run folder {run}; {advice}")
