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
OF_LIKELIHOOD = ("num_samples", "estimator")
OF_SAMPLES = ("num_draws", "features")


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
    last nll of each estimator, to be compared. Numbers of more samples, draws or images
    are kept where there are such, unless they are of fewer of the other.

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
    _check_use(config)
    if not config.run.exists():
        raise missing(config.run)
    path = RunFolder(config.run).metrics
    _earlier(path)  # is no metrics file: said now
    start_tensorflow()
    if config.samples:
        _evaluate_samples(config, path)
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
    before = _size(earlier["estimates"].get(config.estimator))
    finer = _is_finer(before, _size(report))
    if not finer:
        write_text(path, json.dumps(_merged(earlier, report), indent=2) + "\n")
    if run.source.factors is not None:
        scores = {"disentanglement": _factor_scores(run, config.seed)}
        write_text(path, json.dumps(_earlier(path) | scores, indent=2) + "\n")
    again = to_type("python -m keras_vae.evaluate", config.run)
    where = f"All numbers are in {path}."
    if finer:
        where = f"{path} keeps its estimate of {_counted(before, 'sample')}."
    conclude(where, f"{again} --samples")


def _check_use(config):
    """Refuses an option of the other kind of evaluation."""
    for name in OF_LIKELIHOOD if config.samples else OF_SAMPLES:
        if getattr(config, name) != getattr(EvaluateConfig, name):
            flag = "--" + name.replace("_", "-")
            if config.samples:
                raise UsageError(f"{flag} is not for --samples; leave one of them out.")
            raise UsageError(f"{flag} is for --samples; give both or neither.")


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
    print(table(report))
    earlier = _earlier(path)
    reports = earlier.get("samples", {})
    before = _size(reports.get(report["sha256"]))
    if _is_finer(before, _size(report)):
        where = f"{path} keeps its numbers of {_counted(before, 'draw')}."
    else:
        where = f"All numbers are in {path}."
        reports = reports | {report["sha256"]: report}
        write_text(path, json.dumps(earlier | {"samples": reports}, indent=2) + "\n")
    explore = f"{to_type('python -m keras_vae.explore', config.run)} traverse"
    conclude(where, explore + (" --label 0" if run.vae.num_classes else ""))


def _earlier(path):
    """What metrics.json says so far."""
    if not path.is_file():
        return {"estimates": {}}
    try:
        metrics = {"estimates": {}} | json.loads(path.read_text(encoding="utf-8"))
        for reports in (metrics["estimates"], metrics.get("samples", {})):
            for report in ({} | reports).values():
                _ = sum(_size(report), 0)
        return metrics
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path} is not what a training writes ({first_line(error)}); remove it."
        ) from error


def _size(report):
    """Of how many images, and how many samples or draws, a report is."""
    if report is None:
        return 0, 0
    drawn = report.get("samples")  # where it is of draws
    more = report["num_samples"] if drawn is None else drawn["num_images"]
    return report["num_images"], more


def _is_finer(before, now):
    """Whether earlier numbers are of more of one and of no fewer of the other."""
    return before != now and before[0] >= now[0] and before[1] >= now[1]


def _merged(metrics, report):
    """The metrics of a run with those of a report."""
    kept = ("num_images", "num_samples", "nll", "nll_standard_error")
    estimates = metrics["estimates"] | {
        report["estimator"]: {name: report[name] for name in kept}
    }
    if report["estimator"] == "importance":  # the naive estimate is no headline
        metrics = metrics | report
    return metrics | {"estimates": estimates}


def _counted(size, what):
    images, number = size
    return f"{number:,} {what}{'' if number == 1 else 's'}, {images:,} images"


def _sentence(report):
    text = (
        f"{report['split']}: nll {report['nll']:.2f} +- "
        f"{report['nll_standard_error']:.2f} nats per image "
        f"({report['estimator']}, {_counted(_size(report), 'sample')}, "
        f"{report['binarization']} pixels)"
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
