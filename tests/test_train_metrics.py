import json

import numpy as np
import pytest

from keras_vae.train import main


@pytest.mark.parametrize(
    ("likelihood", "has_bits"),
    [("discretized_logistic_mixture", True), ("gaussian", False)],
)
def test_bits_per_dimension_are_told_of_discrete_pixels(likelihood, has_bits, tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (60, 4, 4), "uint8"))
    run = tmp_path / "run"
    options = (
        f"--dataset {tmp_path / 'images.npy'} --output {run} --likelihood {likelihood} "
        "--epochs 1 --hidden 4 --latent-dim 2 --fused-steps 1 --export none"
    )
    assert main(options.split()) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    bits = metrics.get("bits_per_dimension")
    expected = -metrics["elbo"] / (16 * np.log(2)) if has_bits else None
    assert bits == (pytest.approx(expected) if has_bits else None)
