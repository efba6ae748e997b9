import json

import pytest

from keras_vae.cluster import place_in_cluster
from keras_vae.errors import UsageError

WORKERS = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    "config, place",
    [
        (None, (0, 1)),
        ({}, (0, 1)),
        ({"cluster": {"worker": ["a:1"]}}, (0, 1)),
        ({"cluster": WORKERS, "task": {"type": "worker", "index": 1}}, (1, 2)),
    ],
)
def test_the_place_is_that_in_tf_config(monkeypatch, config, place):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert place_in_cluster() == place


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"cluster": []}',
        json.dumps({"cluster": WORKERS}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": "0"}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "ps", "index": 0}}),
        json.dumps(
            {
                "cluster": WORKERS | {"chief": ["c:1"]},
                "task": {"type": "worker", "index": 0},
            }
        ),
    ],
)
def test_a_tf_config_of_another_form_is_one_sentence(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match='TF_CONFIG must be {"cluster": {"worker"'):
        place_in_cluster()
