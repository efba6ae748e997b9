"""`python -m keras_vae.train`: a model of images, and its decoder.

Data -> model -> fit -> metrics -> export.
"""

import contextlib
import dataclasses
import gc
import json
import math
import sys

import numpy as np

from keras_vae.cli import command, conclude_run, start_tensorflow
from keras_vae.cluster import place_in_cluster
from keras_vae.config import TrainConfig
from keras_vae.data import sources
from keras_vae.data.splits import rows_in_a_piece
from keras_vae.defaults import chosen, chosen_flags
from keras_vae.errors import DataError, Stopped, UsageError, to_type
from keras_vae.files import write_text
from keras_vae.flags import as_flags
from keras_vae.pictures.grids import image_grid, save_png
from keras_vae.recipes import recipe
from keras_vae.runs.environment import environment
from keras_vae.runs.facts import MOST, wrong_facts
from keras_vae.runs.folder import RunFolder
from keras_vae.runs.memory import check_memory
from keras_vae.runs.resuming import check_resumable, check_same_images
from keras_vae.runs.typed import (
    TYPED_GROUPS,
    TypedOptions,
    images_of_config,
    options_beneath,
)

NUM_INPUTS = 64  # images in the grid of inputs
NUM_RECONSTRUCTED = 32  # pairs in the reconstructed grid


def train(config: TrainConfig, data: dict | None = None) -> None:
    """Trains a VAE and writes its run folder; see the README for what that holds.

    Args:
        config: The options of the run.
        data: Facts that its images must have, as a config.json says them; None for any.

    Raises:
        KerasVAEError: If the data, the output folder or an option cannot be used, or
            the training diverges.
        export.parity.ParityError: If an exported artifact differs from Keras.

    Example:
        >>> train(TrainConfig(dataset="digits", output=Path("runs/a"), epochs=3))
    """
    folder = RunFolder(config.output)
    worker, _ = place_in_cluster()
    if not config.resume and worker == 0:  # it alone writes
        folder.check_output(config.overwrite, sources.found(config.dataset))
        if folder.partial.config.is_file() and not folder.config.is_file():
            raise UsageError(
                f"{folder.partial} is unfinished and was to become {folder}; finish it "
                f"with `{folder.to_finish}`, rename it, or choose another --output."
            )
    _train(config, folder, data)
    if worker:
        return
    if config.export != ("none",):
        gc.collect()  # images and model of the training make room
        _export(config, folder)
    elif (folder.export / "manifest.json").is_file():
        print(
            f"{folder.export} holds the decoder as it was before; export it anew with "
            f"`{to_type('python -m export', folder)}`."
        )
    explore = f"{to_type('python -m keras_vae.explore', folder)} traverse"
    explore += " --label 0" if config.conditional else ""
    conclude_run(folder, config.export, explore)


def _train(config, folder, data):
    source = sources.load(
        config.dataset,
        seed=config.seed,
        validation_images=config.validation_images,
        **config.image_options,
    )
    print(source.provenance, flush=True)
    if source.found:
        print(source.found, flush=True)
    _check_data(config, source)
    facts = _facts(source)
    if wrong := wrong_facts(json.loads(json.dumps(facts))):
        raise DataError(f"{source.name} {wrong}; at most {MOST:,} are supported.")
    start_tensorflow(devices=False)
    config = _chosen(config, source)
    if data is not None:
        check_same_images(data, facts, "The run to repeat")
    resumed = folder.to_resume() if config.resume else None
    if resumed is not None:
        check_resumable(config, facts, resumed)
        if _is_done(resumed, config):
            print(f"{folder} has all its {config.epochs} epochs; see --epochs.")
            return
        config = dataclasses.replace(config, resume=False)
        writing = folder.resumed(config, facts)
        to_be = "" if resumed.path == folder.path else f"; it is to become {folder}"
        print(f"{resumed} is resumed, with the options it has{to_be}.", flush=True)
    else:
        writing = folder.written(config, facts)
    check_memory(config, source.image_shape, len(source.train))

    from keras_vae.metrics.elbo import elbo_report
    from keras_vae.runs.model_file import save_model
    from keras_vae.training.devices import chosen_strategy, is_chief
    from keras_vae.training.progress import EpochLines

    strategy = chosen_strategy(config.devices, config.worker_timeout)
    start_tensorflow()
    batch_size = config.batch_of(len(source.train))
    with _scope(strategy, batch_size):
        vae = _compiled(config, source, batch_size)
    if not is_chief(strategy):
        nowhere = folder.path / "none"  # only the chief's is written, or read anew
        _fit(
            vae, config, source, batch_size, resumed.checkpoints if resumed else nowhere
        )
        print("This worker is done; the first one writes the run.")
        return
    # only now: options that do not go together were refused above
    with writing as run:
        if run is not folder:
            print(f"{folder} stays as it is until {run} is trained.", flush=True)
        write_text(run.environment, environment())
        shown = _some(source.train, NUM_INPUTS).images
        save_png(image_grid(shown), run.samples / "inputs.png")
        best, *others = _writers(config, source, run)
        try:
            with contextlib.closing(EpochLines()) as lines:
                writers = [best, *others, lines]
                _fit(vae, config, source, batch_size, run.checkpoints, writers)
        except Stopped as stopped:
            message = f"{stopped} Go on with: {folder.to_finish}"
            raise Stopped(message, stopped.number) from None
        seconds = vae.compile_seconds
        print(f"Compiling took {seconds:.1f} s, not counted in history.csv.")
        if strategy is not None:  # the rest is done on one device
            trained, vae = vae, _compiled(config, source, batch_size)
            vae.set_weights(trained.get_weights())
        if config.early_stopping:
            epoch = best.restore(vae)
            print(f"The weights are those of epoch {epoch}, with the least val_loss.")
        save_model(vae, run)
    report = elbo_report(vae, config, source) | {"epochs": config.epochs}
    write_text(folder.metrics, json.dumps(report, indent=2) + "\n")
    print(
        "test: elbo {elbo:.2f} = log_likelihood {log_likelihood:.2f} - kl_divergence "
        "{kl_divergence:.2f} nats per image".format(**report)
    )


def _is_done(run, config):
    """Whether nothing is left but the export, which a kill may have cut short."""
    try:
        metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
        return run.model.is_file() and metrics["epochs"] == config.epochs
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _scope(strategy, batch_size):
    """Where a model for some devices is made."""
    from keras_vae.training.strategy import check_divides

    if strategy is None:
        return contextlib.nullcontext()
    check_divides(strategy, batch_size)
    return strategy.scope()


def _compiled(config, source, batch_size):
    """The model with fresh weights and its optimizer."""
    from keras_vae.runs.build import build_optimizer, build_vae

    num_images = len(source.train)
    vae = build_vae(
        config,
        source.image_shape,
        source.num_classes,
        num_images=num_images,
        data_mean=source.train.mean_image() if config.output_bias else None,
    )
    steps = config.fused_steps or "auto"
    if config.fused_steps:  # 1 is the stock loop
        steps = min(steps, max(2, math.ceil(num_images / batch_size)))
    vae.compile(build_optimizer(config, num_images), steps_per_execution=steps)
    return vae


def _chosen(config, source):
    """The options with none left open, and a line that says what was chosen."""
    import tensorflow as tf

    given, num_images = config, len(source.train)
    gpu = bool(tf.config.list_physical_devices("GPU"))
    config = chosen(given, source.image_shape, num_images, gpu=gpu)
    if config.dataset == "auto" and not config.resume:  # not another one another day
        config = dataclasses.replace(config, dataset=source.name)
    if not given.resume and (flags := chosen_flags(given, config)):
        shape = "x".join(map(str, source.image_shape))
        print(f"Chosen for {num_images:,} images of {shape}: {flags}", flush=True)
    return config


def _fit(vae, config, source, batch_size, checkpoints, writers=()):
    """Trains with a checkpoint in a folder, and what else writes, if this process does.

    Averages and the end of the training are the same for all that train together.
    """
    import keras

    from keras_vae.training.callbacks import AveragedWeights
    from keras_vae.training.checkpoints import Checkpoint

    averages = [AveragedWeights()] if config.ema else []
    stopping = []
    if patience := config.early_stopping:
        stopping = [keras.callbacks.EarlyStopping("val_loss", patience=patience)]
    vae.fit(
        source.train,
        batch_size=batch_size,
        epochs=config.epochs,
        validation_data=source.validation,
        verbose=0,  # a writer says what there is to say
        callbacks=[
            *averages,  # before all that look at the weights
            *writers,
            *stopping,
            Checkpoint(checkpoints, config.checkpoint_every, config.elsewhere),
        ],
    )


def _writers(config, source, run):
    """The callbacks that write to the run folder and to the screen."""
    from keras_vae.training import callbacks

    validation = source.validation
    shown = _some(validation or source.test, NUM_RECONSTRUCTED)
    pictures = callbacks.ImageGrids(
        run.samples,
        shown.images,
        shown.labels,
        seed=config.seed,
        every=config.pictures_every,
    )
    monitor = "val_elbo" if validation else "elbo"
    found = [
        callbacks.BestWeights(
            run.best, "val_loss" if config.early_stopping else monitor
        ),
        callbacks.History(run.history),
        pictures,
    ]
    if config.tensorboard:
        found.append(callbacks.TensorBoard(run.tensorboard, run.samples))
    return found


def _some(split, number):
    """Images from the first to the last of a split, evenly."""
    return split.take(np.linspace(0, len(split) - 1, number).astype(int))


def _export(config, run):
    from export import export_decoder
    from export.bundle import training_facts
    from keras_vae.runs.trained import load_run

    vae, _ = load_run(run.path)  # what is exported is what was saved, in float32
    facts = training_facts(run.path)
    export_decoder(vae, run.export, config.export, training=facts, verbose=True)


def _facts(source):
    """What config.json says about the images."""
    return {
        "name": source.name,
        "provenance": source.provenance,
        "image_shape": source.image_shape,
        "num_classes": source.num_classes,
        "num_images": len(source.train),
        "class_names": source.class_names,
    }


def _check_data(config, source):
    if config.conditional and source.num_classes is None:
        raise UsageError(f"--conditional needs labels; {source.name} has none.")
    if config.early_stopping and not source.validation:
        raise UsageError(
            "--early-stopping needs validation images; leave --validation-images 0 out."
        )
    if config.binarization == "fixed":
        rows = rows_in_a_piece(source.image_shape)
        for split in (source.train, source.validation, source.test):
            for start in range(0, len(split or ()), rows):
                images = split.take(slice(start, start + rows)).images
                if not np.isin(images, (0, 255)).all():
                    raise DataError(
                        "--binarization fixed needs black and white images; "
                        f"{source.name} has grey ones. Take tfds:binarized_mnist, or "
                        "--binarization dynamic."
                    )


def _as_typed(options):
    if options.recipe is not None:
        flags = as_flags(recipe(options.recipe).options)
        print(f"The recipe {options.recipe}: {flags}", flush=True)
    train(options.together(), images_of_config(options))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(
        _as_typed,
        TypedOptions,
        argv,
        prog="python -m keras_vae.train",
        description=TrainConfig.__doc__,
        defaults=options_beneath,
        groups=TYPED_GROUPS,
    )


if __name__ == "__main__":
    sys.exit(main())
