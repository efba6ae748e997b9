import io

import h5py
import keras
import numpy as np
import pytest

from tests.faults import hostile, hostile_bundles, hostile_models
from tests.faults.traps import Trap


@pytest.mark.parametrize("family", hostile.FAMILIES)
def test_files_of_a_stranger_are_refused(family, tmp_path):
    if family is hostile_bundles.names:  # they are written into C, too
        pytest.importorskip("emx_onnx_cgen")
    for tally in family(tmp_path):
        tally.check()


def test_trap_notices_what_must_not_be_done(tmp_path):
    trap = Trap(tmp_path)
    assert trap.sprung(len, "abc") == (None, 3)
    assert "was opened" in trap.sprung(trap.secret.read_bytes)[0]
    assert "was made" in trap.sprung(trap.made.touch)[0]
    assert "were allocated" in trap.sprung(np.ones, 2**25)[0]
    assert trap.sprung(len, "abc") == (None, 3)


def test_code_in_a_file_runs_where_keras_is_told_to(tmp_path):
    """What must not happen does happen elsewhere."""
    trap, path, nothing = Trap(tmp_path), tmp_path / "model.keras", io.BytesIO()
    h5py.File(nothing, "w").close()
    config = hostile_models.python_lambda(trap)
    hostile_models.write(path, nothing.getvalue(), config)
    model = keras.saving.load_model(path, safe_mode=False)
    assert "was made" in trap.sprung(model, np.zeros((1, 3)))[0]
