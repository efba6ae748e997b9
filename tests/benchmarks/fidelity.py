"""`python -m tests.benchmarks.fidelity`: our sample metrics beside torch-fidelity's.

On identical features, of digits and of noise on them, and random ones: Frechet
distance, kernel distance of all pairs, precision and recall must agree to 1e-6. It
needs the extra `bench`.
"""

import dataclasses
import sys

import numpy as np

from keras_vae.cli import command
from keras_vae.data.sources import digits
from keras_vae.metrics.features import shipped_extractor
from keras_vae.metrics.sample_quality import compared

TOLERANCE = 1e-6  # relative; torch-fidelity takes shares in float32
NAMES = ("frechet_distance", "kernel_distance", "precision", "recall")


@dataclasses.dataclass(frozen=True)
class FidelityConfig:
    """Compare the metrics of samples with torch-fidelity's."""


def pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Two sets of as many features each, float64 (N, F), by name."""
    rng = np.random.default_rng(0)
    images = digits("digits").splits["train"].images[:5000]
    images = rng.permutation(images)
    noise = np.clip(images / 255 + rng.normal(0, 0.1, images.shape), 0, 1)
    extractor = shipped_extractor(1)
    good, bad = (np.float64(extractor(x)) for x in (images, noise))
    mix = rng.normal(size=(128, 128)) / 8
    random = rng.normal(size=(2, 2500, 128))
    return {
        "digits": (good[:2500], good[2500:]),
        "digits with noise": (bad[:2500], good[2500:]),
        "random": (random[0] @ mix + 0.2, random[1]),
    }


def theirs(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """What torch-fidelity makes of two sets of features."""
    import torch
    from torch_fidelity import metric_fid, metric_kid, metric_prc  # pyright: ignore

    a, b = torch.from_numpy(x), torch.from_numpy(y)
    moments = [metric_fid.fid_features_to_statistics(z) for z in (a, b)]
    fid = metric_fid.fid_statistics_to_metric(*moments, False)
    kid = metric_kid.kid_features_to_metric(
        a, b, kid_subsets=1, kid_subset_size=len(a), verbose=False
    )
    shares = metric_prc.prc_features_to_metric(a, b, verbose=False)
    return {
        "frechet_distance": fid["frechet_inception_distance"],
        "kernel_distance": kid["kernel_inception_distance_mean"],
        **{name: shares[name] for name in ("precision", "recall")},
    }


def compare(config: FidelityConfig) -> int:
    """Prints both and their difference; returns 1 where they differ."""
    worst = 0.0
    for kind, (x, y) in pairs().items():
        ours, other = compared(x, y), theirs(x, y)
        for name in NAMES:
            error = abs(ours[name] - other[name]) / max(abs(other[name]), 1e-12)
            worst = max(worst, error)
            print(f"{kind:18} {name:17} {ours[name]:.9g} {other[name]:.9g} {error:.0e}")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(
        command(compare, FidelityConfig, prog="python -m tests.benchmarks.fidelity")
    )
