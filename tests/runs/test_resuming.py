import dataclasses
import json

import pytest

from keras_vae.config import TrainConfig
from keras_vae.errors import ModelError
from keras_vae.runs.folder import RunFolder
from keras_vae.runs.resuming import check_resumable, options_of_run

FACTS = {
    "name": "digits",
    "image_shape": [28, 28, 1],
    "num_classes": 10,
    "num_images": 4050,
    "class_names": None,
}
CONFIG = TrainConfig(batch_size=64, epochs=5, hidden=(30,))


class Cut(Exception):
    pass


@pytest.fixture
def folder(tmp_path):
    """A run that was cut after its first checkpoint."""
    folder = RunFolder(tmp_path / "run")
    cut(folder, CONFIG)
    return folder


def cut(folder, config):
    with pytest.raises(Cut), folder.written(config, FACTS) as run:
        (run.checkpoints / "epoch-0001-step-000000.safetensors").write_bytes(b"")
        raise Cut


def test_options_that_are_not_given_are_those_of_the_run(folder):
    given = TrainConfig(output=folder.path)
    assert options_of_run(given) is None
    found = options_of_run(dataclasses.replace(given, resume=True))
    assert found == dataclasses.replace(CONFIG, output=folder.path)


def test_a_folder_without_a_run_has_nothing_to_resume(tmp_path):
    config = TrainConfig(output=tmp_path / "none", resume=True)
    with pytest.raises(ModelError, match="no run that could be resumed; train one"):
        options_of_run(config)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 9},
        {"epochs": 1},
        {"resume": True, "elsewhere": True},
        {"checkpoint_every": (5, "minutes")},
        {"tensorboard": True},
        {"export": ("none",)},
    ],
)
def test_what_decides_no_number_may_change(folder, change):
    check_resumable(dataclasses.replace(CONFIG, **change), FACTS, folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 32}, "with --batch-size 64, not 32; leave that option out"),
        ({"hidden": (30, 20)}, "with --hidden 30, not 30 20"),
        ({"optimizer": "muon"}, "with --optimizer adam, not muon"),
        ({"ema": 0.9}, "with --ema None, not 0.9"),
        ({"early_stopping": 3}, "with --early-stopping None, not 3"),
        ({"fused_steps": 1}, "with --fused-steps None, not 1"),
    ],
)
def test_another_option_is_refused_by_its_name(folder, change, message):
    with pytest.raises(ModelError, match=message):
        check_resumable(dataclasses.replace(CONFIG, **change), FACTS, folder)


def test_epochs_may_be_lowered_to_the_one_that_it_is_in(folder):
    (folder.checkpoints / "epoch-0002-step-000003.safetensors").write_bytes(b"")
    check_resumable(dataclasses.replace(CONFIG, epochs=3), FACTS, folder)
    with pytest.raises(ModelError, match="epoch 3 has begun, so give 3 or more"):
        check_resumable(dataclasses.replace(CONFIG, epochs=2), FACTS, folder)


def test_epochs_are_not_raised_under_a_schedule_that_ends_with_them(tmp_path):
    folder = RunFolder(tmp_path / "run")
    config = dataclasses.replace(CONFIG, cosine_decay=True)
    cut(folder, config)
    check_resumable(config, FACTS, folder)
    with pytest.raises(ModelError, match="with --cosine-decay their number"):
        check_resumable(dataclasses.replace(config, epochs=9), FACTS, folder)


@pytest.mark.parametrize(
    ("name", "value"), [("num_images", 4000), ("name", "mnist"), ("num_classes", 3)]
)
def test_other_images_are_refused(folder, name, value):
    with pytest.raises(ModelError, match=f"on data whose {name} is"):
        check_resumable(CONFIG, FACTS | {name: value}, folder)


def test_a_run_is_finished_where_it_was_begun(folder):
    (folder.samples / ".tmp-epoch-0002-generated.png").write_bytes(b"half")
    more = dataclasses.replace(CONFIG, epochs=9)
    with folder.resumed(more, FACTS) as run:
        assert run is folder
        assert not any(run.samples.iterdir())
        run.model.write_bytes(b"")
    assert folder.read()[0].epochs == 9
    assert [*folder.checkpoints.iterdir()]


def test_a_run_that_is_to_replace_another_takes_its_place_at_last(folder):
    folder.model.write_bytes(b"old")
    cut(folder, dataclasses.replace(CONFIG, epochs=8, overwrite=True))
    found = options_of_run(TrainConfig(output=folder.path, resume=True))
    assert found is not None and found.epochs == 8
    with folder.resumed(found, FACTS) as run:
        assert run.path == folder.partial.path
        run.model.write_bytes(b"new")
    assert folder.model.read_bytes() == b"new"
    assert [path.name for path in folder.path.parent.iterdir()] == ["run"]


def test_a_training_that_was_killed_between_two_renames_is_finished(folder):
    folder.model.write_bytes(b"old")
    cut(folder, dataclasses.replace(CONFIG, epochs=8, overwrite=True))
    folder.partial.model.write_bytes(b"new")
    folder.path.rename(folder.replaced.path)
    config = options_of_run(TrainConfig(output=folder.path, resume=True))
    with folder.resumed(config, FACTS):
        pass
    assert folder.model.read_bytes() == b"new"
    assert json.loads(folder.config.read_text())["epochs"] == 8
    assert [path.name for path in folder.path.parent.iterdir()] == ["run"]
