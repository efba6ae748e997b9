import json

import pytest

from keras_vae.config import TrainConfig
from keras_vae.errors import ModelError
from keras_vae.runs.facts import wrong_facts
from keras_vae.runs.folder import RunFolder

FACTS = {
    "name": "a",
    "image_shape": [6, 5, 1],
    "num_classes": 2,
    "num_images": 9,
    "class_names": ["no", "yes"],
}


@pytest.mark.parametrize(
    "other", [{}, {"class_names": None}, {"num_classes": None, "class_names": None}]
)
def test_facts_that_a_training_writes_are_right(other):
    assert wrong_facts(FACTS | other) is None


@pytest.mark.parametrize(
    "fact",
    [
        {"name": 3},
        {"image_shape": "650"},
        {"image_shape": [6, 5]},
        {"image_shape": [6, 5, 0]},
        {"image_shape": [6, 5, 1.0]},
        {"image_shape": [6, 5, True]},
        {"num_classes": "2"},
        {"num_classes": 0},
        {"num_images": None},
        {"num_images": -1},
        {"class_names": 5},
        {"class_names": [1, 2]},
    ],
)
def test_facts_that_cannot_be_are_named(fact, tmp_path):
    (name,) = fact
    config = json.loads(TrainConfig().to_json()) | {"data": FACTS | fact}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=f"says that its data's {name} is .*; train"):
        RunFolder(tmp_path).read()


def test_every_class_has_a_name_or_none_has():
    assert "a name for each class" in wrong_facts(FACTS | {"class_names": ["no"]})
