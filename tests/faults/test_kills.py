import signal

import numpy as np
import pytest

from tests.faults import kills, models
from tests.faults.tally import Tally


@pytest.mark.parametrize(
    ("case", "sign"),
    [
        ("mlp", signal.SIGKILL),
        ("conditional, VampPrior", signal.SIGKILL),
        ("conv, muon", signal.SIGKILL),
        ("mlp, in the middle of an epoch", signal.SIGTERM),
        ("mlp, in the middle of an epoch", signal.SIGINT),
    ],
)
def test_a_training_that_is_killed_ends_with_the_same_bits(case, sign, tmp_path):
    models.write_images(tmp_path / "images.npz", (8, 8))
    tally, rng = Tally("", ""), np.random.default_rng(3)
    kills.killed(case, tmp_path / "images.npz", tmp_path, 2, rng, tally, sign)
    tally.check()
