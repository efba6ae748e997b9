"""Which options a run may be finished with: its own, and more epochs."""

import dataclasses

from keras_vae.config import TrainConfig
from keras_vae.errors import ModelError, shown
from keras_vae.runs.folder import RunFolder

# options that decide no number of the run
FREE = {
    "output",
    "overwrite",
    "resume",
    "elsewhere",
    "checkpoint_every",
    "pictures_every",
    "tensorboard",
    "export",
    "memory_budget",
    "cache",
    "devices",  # at these the checkpoint looks
    "worker_timeout",
}


def options_of_run(config: TrainConfig) -> TrainConfig | None:
    """What options that are not given stand for: with `resume`, what the run has.

    Args:
        config: Options as given on the command line.

    Returns:
        The options of the run to resume; None where none is.

    Raises:
        ModelError: If there is no such run.
    """
    if not config.resume:
        return None
    before, _ = RunFolder(config.output).to_resume().read()
    now = {"output": config.output, "overwrite": False, "elsewhere": False}
    return dataclasses.replace(before, **now)


def check_resumable(config: TrainConfig, facts: dict, run: RunFolder) -> None:
    """Refuses to finish a run with other options, or on other images.

    Args:
        config: The options now.
        facts: Facts about the images now.
        run: The run.

    Raises:
        ModelError: If something differs, with its name, or the run is a refitted one.
    """
    before, data = run.read()
    if "refit" in data:
        raise ModelError(
            f"{run} has a prior that was fitted to a trained model, which cannot be "
            "resumed; run keras_vae.refit again."
        )
    for field in dataclasses.fields(config):
        name = field.name
        old, new = getattr(before, name), getattr(config, name)
        if old == new or name in FREE:
            continue
        reason = "leave that option out"
        if name == "epochs":
            begun = _epochs_begun(run)
            if new > old and before.early_stopping and _stopped(run):
                raise ModelError(
                    f"{run} stopped itself after epoch {begun}, by --early-stopping "
                    f"{before.early_stopping}; more epochs need another run."
                )
            if new >= begun and not config.cosine_decay:
                continue
            reason = f"epoch {begun} has begun, so give {begun} or more"
            if config.cosine_decay:
                reason = "with --cosine-decay their number stays; leave that option out"
        raise ModelError(
            f"{run} is trained with --{name.replace('_', '-')} {_text(old)}, not "
            f"{_text(new)}; {reason}, or train another run with --output."
        )
    check_same_images(data, facts, run)


def check_same_images(data: dict, facts: dict, run: object) -> None:
    """Refuses images that are not those of a run.

    Args:
        data: Facts about the run's images, as its config.json has them.
        facts: Facts about the images now.
        run: The run, as a sentence names it.

    Raises:
        ModelError: If something differs, with its name.
    """
    for name in ("name", "image_shape", "num_classes", "num_images", "class_names"):
        old, new = data[name], facts[name]
        new = list(new) if isinstance(new, tuple) else new
        if old != new:
            raise ModelError(
                f"{run} is trained on data whose {name} is {shown(old)}, not "
                f"{shown(new)}; make its images available again."
            )


def _epochs_begun(run):
    """How many epochs a run has, with the one that it may be in."""
    from keras_vae.training.checkpoints import NAME, Checkpoint  # by TensorFlow

    newest = next(iter(Checkpoint(run.checkpoints).generations()), None)
    if newest is None or (place := NAME.fullmatch(newest.name)) is None:
        return 1
    return int(place[1]) + (int(place[2]) > 0)


def _stopped(run):
    """Whether the training ended itself."""
    from keras_vae.training.checkpoints import Checkpoint

    checkpoint = Checkpoint(run.checkpoints)
    checkpoint.find()
    return checkpoint.stopped


def _text(value):
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
