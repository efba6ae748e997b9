import numpy as np
import pytest

from tests.faults import flips


@pytest.mark.parametrize("target", flips.TARGETS)
def test_flipped_bit_is_noticed_or_changes_nothing(target, tmp_path):
    flips.flipped(target, tmp_path, 10, np.random.default_rng(0)).check()
