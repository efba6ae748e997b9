"""`python -m keras_vae.refit RUN`: another prior, in a new run.

`keras_vae.runs.refitting` fits it; here the new run is written.
"""

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from keras_vae.cli import command, conclude_run, start_tensorflow
from keras_vae.data import sources
from keras_vae.errors import UsageError, number, whole_number
from keras_vae.files import write_text
from keras_vae.flags import AXES, FLAGS, annotation, one_of
from keras_vae.options import options
from keras_vae.runs.folder import RunFolder

PRIOR_FLAGS = {name: flag for name, flag in FLAGS.items() if flag.axis == "prior"}
NUM_RECONSTRUCTED = 32  # pairs in the reconstructed grid
NUM_DRAWS = 5_000  # compared with test images
EPOCHS, STEPS = 20, 5_000  # the least of both, by default


@options
class RefitOptions:
    """Fit another prior to a trained model, whose networks stay as they are.

    Examples:
      python -m keras_vae.refit saved_models/vae
      python -m keras_vae.refit saved_models/vae --prior mixture --num-components 100
      python -m keras_vae.refit saved_models/vae --epochs 50 --output saved_models/flow
    """

    run: tyro.conf.Positional[Path]
    """The run folder; it stays as it is."""
    dataset: str | None = None
    """Where the run's images are now, if not where they were; as for train."""
    prior: Annotated[str, one_of(AXES["prior"])] = "flow"
    """p(z); standard_normal has nothing to fit."""
    output: Path | None = None
    """The run folder to write; default: RUN-PRIOR, beside RUN."""
    overwrite: bool = False
    """Replace the run in that folder if there is one."""
    epochs: int | None = None
    """Passes over the training images, at most a million; default: 20, or more where
    those are fewer than 5,000 steps."""
    batch_size: int = 128
    """Images in an optimizer step; more than there are is all of them."""
    learning_rate: float = 1e-3
    """Adam's first step size; it falls to 0 along half a cosine."""
    seed: int = 0
    """Of noise and image order: a whole number in [0, 16777216)."""
    export: tuple[str, ...] | None = None
    """Formats to export the decoder to, or none; default: those of the run."""


if TYPE_CHECKING:

    class RefitConfig(RefitOptions):
        """The options, and those of the priors."""

        def __getattr__(self, name: str) -> Any: ...

else:
    RefitConfig = dataclasses.make_dataclass(
        "RefitConfig",
        [(name, annotation(name, flag), None) for name, flag in PRIOR_FLAGS.items()],
        bases=(RefitOptions,),
        frozen=True,
        namespace={"__doc__": RefitOptions.__doc__, "__module__": __name__},
    )


def refit(config: RefitConfig) -> None:
    """Fits a prior to a run's latents, writes the new run, and says what it gained.

    Args:
        config: The options.

    Raises:
        KerasVAEError: If the run, its data, an option or the output cannot be used.
        export.parity.ParityError: If an exported artifact differs from Keras.

    Example:
        >>> refit(RefitConfig(Path("saved_models/vae"), prior="mixture", epochs=5))
    """
    if config.epochs is not None:
        whole_number("epochs", config.epochs, maximum=1_000_000)
    whole_number("batch_size", config.batch_size, maximum=1_000_000)
    whole_number("seed", config.seed, minimum=0, maximum=2**24 - 1)
    if number("learning_rate", config.learning_rate, maximum=1e30) == 0:
        raise UsageError("learning_rate must be a number > 0; got 0.")
    before, data = RunFolder(config.run).read()
    folder = RunFolder(config.output or _beside(config.run, config.prior))
    options = _options(config, before, folder)
    old, new = config.run.resolve(), folder.path.resolve()
    if old == new or old in new.parents:
        raise UsageError(
            f"The run {config.run} stays as it is; choose another folder with --output."
        )
    folder.check_output(config.overwrite, sources.location(options.dataset))
    start_tensorflow()
    vae = _refit(config, options, data, folder)
    if options.export != ("none",):
        from export import export_decoder
        from export.bundle import training_facts

        facts = training_facts(folder.path)
        export_decoder(vae, folder.export, options.export, training=facts, verbose=True)
    conclude_run(folder, options.export)


def _beside(run, prior):
    """The folder of a run with another prior."""
    return f"{run if run.name else run.resolve()}-{prior}"


def _options(config, before, folder):
    """The options of the new run: those of the old one, but for the prior's."""
    given = {name: getattr(config, name) for name in PRIOR_FLAGS}
    return dataclasses.replace(
        before,
        **given,
        dataset=config.dataset or before.dataset,
        prior=config.prior,
        output=folder.path,
        overwrite=config.overwrite,
        export=config.export or before.export,
    )


def _refit(config, options, data, folder):
    """Fits and writes; returns the new model."""
    from keras_vae.metrics.elbo import elbo_report
    from keras_vae.metrics.sample_quality import table
    from keras_vae.runs.environment import environment
    from keras_vae.runs.memory import check_memory
    from keras_vae.runs.model_file import save_model
    from keras_vae.runs.refitting import fit_prior, with_prior, write_history
    from keras_vae.runs.trained import TrainedRun
    from keras_vae.training.callbacks import ImageGrids

    run = TrainedRun(config.run, config.dataset)
    source = run.source
    print(source.provenance, flush=True)
    check_memory(options, source.image_shape, len(source.train))
    vae = with_prior(run.vae, options, data)
    batch_size = min(config.batch_size, len(source.train))
    steps = len(source.train) // batch_size
    few = math.ceil(STEPS / steps)
    how = {
        "epochs": config.epochs or max(EPOCHS, few),
        "batch_size": batch_size,
        "learning_rate": config.learning_rate,
        "seed": config.seed,
    }
    print(f"{how['epochs']:,} epochs of {steps:,} steps.", flush=True)
    now = {"name": source.name, "provenance": source.provenance}
    data = data | now | {"refit": {"run": str(config.run), **how}}
    # apart: a training could not go on where this was cut
    with folder.written(options, data, apart=True) as new:
        rows = fit_prior(vae, source.train, source.validation, **how, verbose=True)
        reports = []
        for model, its in ((run.vae, run.config), (vae, options)):
            model.compile()
            reports.append(elbo_report(model, its, source))
        earlier, report = reports
        parts = ("elbo", "log_likelihood", "kl_divergence")
        earlier = {"prior": run.config.prior} | {name: earlier[name] for name in parts}
        report["before"] = earlier
        distances = _distances(run.vae, vae, source, config.seed)
        if distances is not None:
            report["samples"] = {distances["sha256"]: distances}
        write_history(new.history, rows)
        write_text(new.environment, environment())
        write_text(new.metrics, json.dumps(report, indent=2) + "\n")
        shown = source.test.take(slice(NUM_RECONSTRUCTED))
        pictures = ImageGrids(
            new.samples, shown.images, shown.labels, seed=run.config.seed
        )
        pictures.set_model(vae)
        pictures.on_epoch_end(how["epochs"] - 1)
        save_model(vae, new)
    print(
        f"test: elbo {earlier['elbo']:.2f} with the prior {earlier['prior']}, "
        f"{report['elbo']:.2f} with {options.prior}; kl_divergence "
        f"{earlier['kl_divergence']:.2f}, {report['kl_divergence']:.2f} nats per image"
    )
    if distances is not None:
        print(table(distances))
    return vae


def _distances(before, vae, source, seed):
    """What draws look like before and after; None where there are too few images."""
    from keras_vae.metrics.features import SHIPPED, shipped_extractor
    from keras_vae.metrics.neighbors import DENSITY
    from keras_vae.metrics.sample_quality import sample_quality

    channels = vae.image_shape[2]
    if channels not in SHIPPED or min(len(source.test), len(source.train)) <= DENSITY:
        return None
    return sample_quality(
        vae,
        source.train,
        source.test,
        shipped_extractor(channels),
        before=before,
        num_draws=NUM_DRAWS,
        seed=seed,
        progress=True,
    )


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(refit, RefitConfig, argv, prog="python -m keras_vae.refit")


if __name__ == "__main__":
    sys.exit(main())
