"""`python -m keras_vae.evaluate RUN`: the numbers that papers report.

`keras_vae.metrics` computes them, of test images: `log_likelihood`, or with --samples
`sample_quality`; here a run is loaded and its metrics.json updated.
"""

import json
import sys
from pathlib import Path
from typing import Literal

import tyro

from keras_vae.cli import command, conclude, start_tensorflow
from keras_vae.errors import (
    DataError,
    ModelError,
    UsageError,
    first_line,
    to_type,
    whole_number,
)
from keras_vae.files import write_text
from keras_vae.options import options
from keras_vae.run_paths import missing
from keras_vae.runs.folder import RunFolder

MAX_SAMPLES, MAX_DRAWS, MAX_SEED = 1_000_000, 100_000, 2**31 - 1


@options
class EvaluateConfig:
    """Estimate the log-likelihood of a trained model on its test split.

    Or, with --samples, compare what it draws with the test images.

    Examples:
      python -m keras_vae.evaluate saved_models/vae
      python -m keras_vae.evaluate saved_models/vae --num-samples 500 --num-images 1000
      python -m keras_vae.evaluate saved_models/vae --samples
    """

    run: tyro.conf.Positional[Path]
    """The run folder; its metrics.json is updated."""
    dataset: str | None = None
    """Where the run's images are now, if not where they were; as for train."""
    num_samples: int = 5000
    """Samples of z for each image, at most 1,000,000."""
    estimator: Literal["importance", "prior"] = "importance"
    """Where z comes from: the posterior, or naively the prior."""
    num_images: int | None = None
    """Only the first images of the split; default: all."""
    seed: int = 0
    """Of the noise: a whole number below 2**31."""
    samples: bool = False
    """Estimate no likelihood; compare draws with the test images, by features: Frechet
    and kernel distance, precision and recall, density and coverage."""
    num_draws: int = 10_000
    """With --samples: how many to draw, at most 100,000."""
    features: Path | None = None
    """With --samples: an ONNX file that makes features of images; default: one that
    comes with the package."""


def evaluate(config: EvaluateConfig) -> None:
    """Estimates the numbers of a run's test split and merges them into metrics.json.

    Where the factors that images were made from are known, so are the scores of
    disentanglement, of all test images; an export names the latents by them.
    The keys of the last importance estimate stand at the top; `estimates` keeps the
    last nll of each estimator, to be compared. One of more samples, or more images, is
    kept where there is one, unless it is of fewer of the other.

    Args:
        config: The options.

    Raises:
        KerasVAEError: If the run, its data or an option cannot be used.

    Example:
        >>> evaluate(EvaluateConfig(Path("saved_models/vae"), num_samples=100))
    """
    whole_number("num_samples", config.num_samples, maximum=MAX_SAMPLES)
    if config.num_images is not None:
        whole_number("num_images", config.num_images)
    whole_number("seed", config.seed, minimum=0, maximum=MAX_SEED)
    whole_number("num_draws", config.num_draws, maximum=MAX_DRAWS)
    if config.features is not None and not config.samples:
        raise UsageError("--features is for --samples; give both or neither.")
    if not config.run.exists():
        raise missing(config.run)
    path = RunFolder(config.run).metrics
    _earlier(path)  # is no metrics file: said now
    start_tensorflow()
    if config.samples:
        _evaluate_samples(config, path)
        explore = to_type("python -m keras_vae.explore", config.run)
        conclude(f"All numbers are in {path}.", f"{explore} traverse")
        return
    from keras_vae.metrics.log_likelihood import estimate, summary
    from keras_vae.runs.trained import TrainedRun

    run = TrainedRun(config.run, config.dataset)
    vae = run.vae
    test = run.source.test.take(slice(config.num_images))
    estimates = estimate(
        vae,
        test.images,
        test.labels,
        num_samples=config.num_samples,
        estimator=config.estimator,
        seed=config.seed,
        progress=True,
    )
    report = {
        "dataset": run.source.name,
        "split": "test",
        "num_images": len(test),
        "binarization": vae.binarization,
        "estimator": config.estimator,
        "num_samples": config.num_samples,
        "unit": "nats per image",
        **summary(vae, estimates),
    }
    print(_sentence(report), flush=True)
    earlier = _earlier(path)  # another evaluation may have ended meanwhile
    if (finer := _finer(earlier, report)) is None:
        write_text(path, json.dumps(_merged(earlier, report), indent=2) + "\n")
    else:
        print(f"{path} keeps its estimate of {finer}.", flush=True)
    if run.source.factors is not None:
        scores = {"disentanglement": _factor_scores(run, config.seed)}
        write_text(path, json.dumps(_earlier(path) | scores, indent=2) + "\n")
    again = to_type("python -m keras_vae.evaluate", config.run)
    conclude(f"All numbers are in {path}.", f"{again} --samples")


def _factor_scores(run, seed):
    """Scores of disentanglement, on all test images, of data with known factors."""
    from keras_vae.metrics import disentanglement

    source = run.source
    scores = disentanglement.report(
        run.mean, source.factors, source.factor_names, seed=seed
    )
    print(disentanglement.sentence(scores))
    return scores


def _evaluate_samples(config, path):
    """Merges the report of one extractor into metrics.json, beside those of others."""
    from keras_vae.metrics.features import Extractor, shipped_extractor
    from keras_vae.metrics.sample_quality import sample_quality, table
    from keras_vae.runs.trained import TrainedRun

    extractor = None
    if config.features is not None:
        from export.onnx_file import check_onnx
        from export.reader import read_file

        if not config.features.is_file():
            raise ModelError(f"There is no file {config.features} to make features.")
        data = read_file(config.features)
        check_onnx(config.features, data)
        extractor = Extractor(config.features.name, data)
    run = TrainedRun(config.run, config.dataset)
    report = {
        "dataset": run.source.name,
        **sample_quality(
            run.vae,
            run.source.train,
            run.source.test,
            extractor or shipped_extractor(run.vae.image_shape[2]),
            num_draws=config.num_draws,
            num_images=config.num_images,
            seed=config.seed,
            progress=True,
        ),
    }
    earlier = _earlier(path)
    reports = earlier.get("samples", {}) | {report["sha256"]: report}
    write_text(path, json.dumps(earlier | {"samples": reports}, indent=2) + "\n")
    print(table(report))


def _earlier(path):
    """What metrics.json says so far."""
    if not path.is_file():
        return {"estimates": {}}
    try:
        metrics = {"estimates": {}} | json.loads(path.read_text(encoding="utf-8"))
        _ = {} | metrics.get("samples", {})
        for estimate in ({} | metrics["estimates"]).values():
            _ = estimate["num_images"] + estimate["num_samples"] + 0
        return metrics
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(
            f"{path} is not what a training writes ({first_line(error)}); remove it."
        ) from error


def _finer(metrics, report):
    """What an estimate of the same kind that is finer is of, or None."""
    before = metrics["estimates"].get(report["estimator"])
    if before is None:
        return None
    images, samples = before["num_images"], before["num_samples"]
    more = images - report["num_images"], samples - report["num_samples"]
    if min(more) < 0 or max(more) == 0:
        return None
    return f"{_samples(samples)}, {images:,} images"


def _merged(metrics, report):
    """The metrics of a run with those of a report."""
    kept = ("num_images", "num_samples", "nll", "nll_standard_error")
    estimates = metrics["estimates"] | {
        report["estimator"]: {name: report[name] for name in kept}
    }
    if report["estimator"] == "importance":  # the naive estimate is no headline
        metrics = metrics | report
    return metrics | {"estimates": estimates}


def _samples(number):
    return "1 sample" if number == 1 else f"{number:,} samples"


def _sentence(report):
    text = (
        f"{report['split']}: nll {report['nll']:.2f} +- "
        f"{report['nll_standard_error']:.2f} nats per image "
        f"({report['estimator']}, {_samples(report['num_samples'])}, "
        f"{report['num_images']} images, {report['binarization']} pixels)"
    )
    text += f"; elbo {report['elbo']:.2f}"
    if "jensen_gap" in report:
        text += f", gap {report['jensen_gap']:.2f}"
    text += (
        f", kl_divergence {report['kl_divergence']:.2f}, {report['active_units']} of "
        f"{len(report['latent_variances'])} units active"
    )
    if "kl_by_level" in report:
        levels = ", ".join(f"{kl:.2f}" for kl in report["kl_by_level"])
        text += f"; kl_divergence by level, from the top on: {levels}"
    if "bits_per_dimension" in report:
        text += f"; {report['bits_per_dimension']:.3f} bits per dimension"
    return text


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(evaluate, EvaluateConfig, argv, prog="python -m keras_vae.evaluate")


if __name__ == "__main__":
    sys.exit(main())
