"""`python -m keras_vae.train`: data -> model -> fit -> metrics -> export."""

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from pathlib import Path

import numpy as np

from keras_vae.cli import command, start_tensorflow
from keras_vae.config import TrainConfig
from keras_vae.data import sources
from keras_vae.errors import DataError, OutputError, UsageError
from keras_vae.files import write_text

NUM_RECONSTRUCTED = 32  # pairs in the reconstructed grid


def train(config: TrainConfig) -> None:
    """Trains a VAE and writes its run folder; see the README for what that holds.

    Args:
        config: The options of the run.

    Raises:
        KerasVAEError: If the data, the output folder or an option cannot be used, or
            the training diverges.
        export.parity.ParityError: If an exported artifact differs from Keras.

    Example:
        >>> train(TrainConfig(dataset="digits", output=Path("runs/a"), epochs=3))
    """
    _check_output(config)
    source = sources.load(
        config.dataset,
        seed=config.seed,
        validation_images=config.validation_images,
    )
    print(source.provenance, flush=True)
    _check_data(config, source)
    start_tensorflow()

    from keras_vae import callbacks
    from keras_vae.runs import build_optimizer, build_vae, load_run

    vae = build_vae(
        config,
        source.image_shape,
        source.num_classes,
        num_images=len(source.train.images),
        data_mean=source.train.images.mean(axis=0) / 255,
    )
    vae.compile(
        build_optimizer(config, len(source.train.images)),
        steps_per_execution=config.fused_steps or "auto",
    )
    # only now: options that do not go together were refused above
    run = _create_run_folder(config, source)
    write_text(run / "environment.json", _environment())
    validation = source.validation
    shown = validation or source.test
    rows = np.linspace(0, len(shown.images) - 1, NUM_RECONSTRUCTED).astype(int)
    vae.fit(
        source.train.images,
        source.train.labels,
        batch_size=config.batch_size,
        epochs=config.epochs,
        validation_data=validation and (validation.images, validation.labels),
        verbose=1 if sys.stdout.isatty() else 2,
        callbacks=[
            callbacks.StopOnDivergence(),
            callbacks.History(run / "history.csv"),
            callbacks.Weights(
                run / "checkpoints", "val_elbo" if validation else "elbo"
            ),
            callbacks.ImageGrids(
                run / "samples",
                shown.images[rows],
                None if shown.labels is None else shown.labels[rows],
                seed=config.seed,
            ),
        ],
    )
    print(f"Compiling took {vae.compile_seconds:.1f} s, not counted in history.csv.")
    vae.save(run / "model.keras")

    metrics = vae.evaluate(
        source.test.images,
        source.test.labels,
        batch_size=config.batch_size,
        verbose=0,
        return_dict=True,
    )
    report = {
        "dataset": source.name,
        "split": "test",
        "num_images": len(source.test.images),
        "binarization": config.binarization,
        "estimator": "elbo",
        "num_samples": config.num_samples,
        "unit": "nats per image",
        **{name: metrics[name] for name in ("elbo", "log_likelihood", "kl_divergence")},
    }
    write_text(run / "metrics.json", json.dumps(report, indent=2) + "\n")
    print(
        "test: elbo {elbo:.2f} = log_likelihood {log_likelihood:.2f} - kl_divergence "
        "{kl_divergence:.2f} nats per image".format(**report)
    )

    if config.export != ("none",):
        from export import export_decoder
        from export.bundle import training_facts

        vae, _ = load_run(run)  # what is exported is what was saved, in float32
        facts = training_facts(run)
        export_decoder(vae, run / "export", config.export, training=facts, verbose=True)
    print(f"The run is in {run}.")


def _check_output(config):
    run = config.output
    if not run.exists():
        return
    if not run.is_dir():
        raise OutputError(f"The output {run} is a file; choose a folder with --output.")
    if not any(run.iterdir()):
        return
    if not (run / "config.json").is_file():
        raise OutputError(
            f"The output folder {run} holds files that are not a run; choose another "
            "with --output."
        )
    if not config.overwrite:
        raise UsageError(
            f"The folder {run} already holds a run; choose another with --output, or "
            "replace it with --overwrite."
        )


def _check_data(config, source):
    if config.conditional and source.num_classes is None:
        raise UsageError(f"--conditional needs labels; {source.name} has none.")
    if config.binarization == "fixed":
        for split in (source.train, source.validation, source.test):
            if split and not np.isin(split.images, (0, 255)).all():
                raise DataError(
                    f"--binarization fixed needs black and white images; {source.name} "
                    "has grey ones. Take tfds:binarized_mnist, or --binarization "
                    "dynamic."
                )


def _create_run_folder(config, source) -> Path:
    run = config.output
    if run.exists():
        for path in run.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    try:
        for folder in ("checkpoints", "samples"):
            (run / folder).mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            f"The output folder {run} cannot be written ({error.strerror}); choose "
            "another with --output."
        ) from error
    data = {
        "name": source.name,
        "provenance": source.provenance,
        "image_shape": source.image_shape,
        "num_classes": source.num_classes,
        "num_images": len(source.train.images),
        "class_names": source.class_names,
    }
    options = json.loads(config.to_json())
    write_text(
        run / "config.json", json.dumps(options | {"data": data}, indent=2) + "\n"
    )
    return run


def _environment() -> str:
    """What the numbers of a run depend on beside its config, as JSON."""
    import tensorflow as tf

    packages = (
        "keras-vae",
        "tensorflow",
        "keras",
        "numpy",
        "onnx",
        "tf2onnx",
        "onnxruntime",
    )
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout
            versions[package] = None
    environment = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "gpus": [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        ],
        "packages": versions,
    }
    return json.dumps(environment, indent=2) + "\n"


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(train, TrainConfig, argv, prog="python -m keras_vae.train")


if __name__ == "__main__":
    sys.exit(main())
