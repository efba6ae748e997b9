import numpy as np
import pytest


@pytest.fixture
def save(tmp_path):
    """Writes arrays to data.npz; gives its path."""

    def save(**arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return path

    return save
