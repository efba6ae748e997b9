import json

import keras
import numpy as np
import pytest
import safetensors.numpy

from keras_vae.errors import DivergedError, ModelError
from keras_vae.training import state

ARRAYS = {
    "00000/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "00001/seed": np.uint32([7, 1]),
    "00002/iterations": np.int64(5),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.safetensors"
    state.write(path, ARRAYS, {"epoch": 3, "best": -np.inf})
    return path


def test_what_is_written_is_read(path):
    arrays, facts = state.read(path)
    assert facts == {"epoch": 3, "best": -np.inf}
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape
        np.testing.assert_array_equal(arrays[name], array)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_what_is_not_finite_is_not_written(path, number):
    before = path.read_bytes()
    with pytest.raises(DivergedError, match="00000/kernel is no longer finite"):
        state.write(path, {"00000/kernel": np.float32([1, number])}, {})
    assert path.read_bytes() == before


def test_no_bit_can_change_unnoticed(path):
    data = path.read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        try:
            arrays, facts = state.read(path)
        except ModelError as error:
            assert str(error).startswith(f"{path} is damaged (")
            continue
        assert facts == {"epoch": 3, "best": -np.inf}  # a space of JSON
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(arrays[name], array)


def test_a_file_that_is_cut_or_not_ours_is_refused(path, tmp_path):
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(ModelError, match="is damaged"):
            state.read(path)
    path.write_bytes(data + b"x")
    with pytest.raises(ModelError, match="is damaged"):
        state.read(path)
    arrays = {"00001/seed": ARRAYS["00001/seed"]}
    safetensors.numpy.save_file(arrays, path, {"facts": json.dumps({"epoch": 3})})
    with pytest.raises(ModelError, match="is damaged"):
        state.read(path)
    with pytest.raises(ModelError, match="is damaged"):
        state.read(tmp_path / "missing")


def test_all_variables_are_assigned_or_none(path):
    a = keras.Variable(np.zeros(2), dtype="float32")
    b = keras.Variable(np.zeros(3), dtype="int64")
    variables = state.by_name([a, b, a])
    assert len(variables) == 2
    state.assign(path, {"0": np.float32([1, 2]), "1": np.int64([3, 4, 5])}, variables)
    np.testing.assert_array_equal(a.numpy(), [1, 2])
    np.testing.assert_array_equal(b.numpy(), [3, 4, 5])
    for arrays in (
        {"0": np.float32([9, 9]), "1": np.int64([3, 4])},
        {"0": np.float32([9, 9]), "1": np.int32([3, 4, 5])},
        {"0": np.float32([9, 9])},
        {"0": np.float32([9, 9]), "1": np.int64([3, 4, 5]), "2": np.float32(1)},
    ):
        with pytest.raises(ModelError, match="of another model or optimizer"):
            state.assign(path, arrays, variables)
        np.testing.assert_array_equal(a.numpy(), [1, 2])
