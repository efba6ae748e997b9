import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae.training import in_pieces
from keras_vae.training.in_pieces import InPieces, rows_of


@pytest.mark.parametrize("number", [1, 6, 7, 8, 21, 22])
def test_pieces_give_what_the_whole_gives(monkeypatch, number):
    monkeypatch.setattr(in_pieces, "ROWS", 7)
    sizes = []

    def function(x, y):
        tf.py_function(lambda n: sizes.append(int(n)), [tf.shape(x)[0]], [])
        return x * tf.cast(y, x.dtype)[:, None]

    x = np.random.default_rng(0).normal(size=(number, 3)).astype("f")
    y = np.arange(number)
    found = InPieces(function)(x, y)
    np.testing.assert_array_equal(found, x * y[:, None].astype("f"))
    assert isinstance(found, np.ndarray)
    assert sizes == [7] * (number // 7) + ([number % 7] if number % 7 else [])


def test_rows_are_fewer_where_a_layer_is_wide(monkeypatch):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(50)])
    assert rows_of(model) == in_pieces.ROWS
    outer = keras.Sequential([keras.Input((6,)), model, keras.layers.Dense(2)])
    monkeypatch.setattr(in_pieces, "FLOATS", 170)
    assert rows_of(outer) == 3
    sizes = []

    def function(x):
        tf.py_function(lambda n: sizes.append(int(n)), [tf.shape(x)[0]], [])
        return outer(x)

    x = np.random.default_rng(0).normal(size=(7, 6)).astype("f")
    found = InPieces(function, outer)(x)
    np.testing.assert_allclose(found, outer(x), atol=1e-6)
    assert sizes == [3, 3, 1]
    monkeypatch.setattr(in_pieces, "FLOATS", 1)
    assert rows_of(outer) == 1


def test_pieces_are_compiled_once_for_all_lengths():
    traced = []

    def function(x):
        traced.append(x.shape)
        return 2 * x

    double = InPieces(function)
    for number in (5, 6, 7, 8, 2000):
        np.testing.assert_array_equal(double(np.ones((number, 2), "f")), 2)
    assert len(traced) == 2  # of one length, and then of any
