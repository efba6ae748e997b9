import io
import json

import numpy as np
import pytest

from export import asked
from export.limits import Refused

Z = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def npy(array, **kwargs):
    np.save(file := io.BytesIO(), array, **kwargs)
    return file.getvalue()


def test_latents_come_bit_by_bit():
    z, labels = asked.latents(json.dumps({"z": Z.tolist(), "label": [1]}).encode(), 3)
    np.testing.assert_array_equal(z, Z, strict=True)
    assert labels == [1]
    for array in (Z, Z.astype(np.float64)):
        np.testing.assert_array_equal(asked.latents_of_npy(npy(array), 3), Z)


def body(z, **more):
    return json.dumps({"z": z} | more).encode()


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        (b"", 400, "must be JSON"),
        (b"\xff", 400, "must be JSON"),
        (100_000 * b"[", 400, "must be JSON"),
        (b"[]", 400, "must be an object"),
        (b"{}", 400, "must be an object"),
        (body([[1, 2, 3]], lable=[1]), 422, "Did you mean 'label'"),
        (body(3), 422, "list of lists"),
        (body([1, 2, 3]), 422, "list of lists"),
        (body([]), 422, "one list of numbers or more"),
        (body([[1, 2]]), 422, "3 numbers; one holds 2"),
        (body([[1, 2, "3"]]), 422, "numbers alone"),
        (body([[1, 2, True]]), 422, "numbers alone"),
        (body([[1, 2, None]]), 422, "numbers alone"),
        (body([[1, 2, float("nan")]]), 422, "finite"),
        (body([[1, 2, 1e39]]), 422, "finite"),
        (body([[1, 2, 10**400]]), 422, "finite"),
        (body([[1, 2, 3]], label=3), 422, "list of whole numbers"),
        (body([[1, 2, 3]], label=[True]), 422, "list of whole numbers"),
    ],
)
def test_json_that_is_refused(data, status, sentence):
    with pytest.raises(Refused, match=sentence) as refused:
        asked.latents(data, 3)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        (b"\x93NUMPY", 400, "as np.save writes"),
        (npy(Z)[:40], 400, "as np.save writes"),
        (npy(Z)[:-1], 400, "as many numbers"),
        (npy(Z) + b"\0", 400, "as many numbers"),
        (npy(np.array([[{}]], object), allow_pickle=True), 422, "float32 or float64"),
        (npy(Z.astype(np.int32)), 422, "float32 or float64"),
        (npy(np.asfortranarray(Z)), 422, "C order"),
        (npy(Z[0]), 422, "N x 3; got 3"),
        (npy(Z[:, :2]), 422, "N x 3; got 4 x 2"),
        (npy(Z[:0]), 422, "one list"),
        (npy(Z * np.float32(np.nan)), 422, "finite"),
        (npy(Z).replace(b"(4, 3)", b"(9**9)"), 400, "as np.save writes"),
        (
            npy(Z).replace(b"(4, 3), }   ", b"(4000000, 3)}"[:12]),
            400,
            "np.save|as many",
        ),
    ],
)
def test_files_that_are_refused(data, status, sentence):
    with pytest.raises(Refused, match=sentence) as refused:
        asked.latents_of_npy(data, 3)
    assert refused.value.status == status


def test_labels_are_of_the_model():
    np.testing.assert_array_equal(
        asked.checked_labels([1, 0], 2, 2), np.array([1, 0]), strict=True
    )
    for labels, classes in (([1], 2), ([1, 2], 2), ([1, -1], 2), ([0, 10**30], 2)):
        with pytest.raises(Refused, match="2 numbers in"):
            asked.checked_labels(labels, 2, classes)
    with pytest.raises(Refused, match="takes no label"):
        asked.checked_labels([1, 0], 2, None)


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ({"seed": "x"}, 400, "seed must be a whole number; got 'x'"),
        ({"seed": "1.5"}, 400, "whole number"),
        ({"seed": 5000 * "9"}, 400, "whole number"),  # more than int() takes
        ({"seed": "-1"}, 422, ">= 0"),
        ({"seed": "16777216"}, 422, "<= 16777215"),
    ],
)
def test_seeds_that_are_refused(query, status, sentence):
    with pytest.raises(Refused, match=sentence) as refused:
        asked.seed(query)
    assert refused.value.status == status
    assert len(str(refused.value)) < 200
