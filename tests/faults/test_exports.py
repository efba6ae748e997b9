import numpy as np
import pytest

from tests.faults import exports


@pytest.mark.parametrize("kind", [exports.Saves, exports.Exports])
def test_killed_write_leaves_the_old_or_the_new(kind, tmp_path):
    faults = kind(tmp_path / "root")
    faults.at_random(2, np.random.default_rng(0)).check()
    faults.at_each_step(every=9).check()
