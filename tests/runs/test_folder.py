import json
import os

import pytest

from keras_vae.config import TrainConfig
from keras_vae.errors import OutputError, UsageError
from keras_vae.runs.folder import RunFolder

FACTS = {
    "name": "digits",
    "image_shape": [28, 28, 1],
    "num_classes": 10,
    "num_images": 4050,
    "class_names": None,
}


def write(folder, epochs=1):
    """A finished run, with a little of everything."""
    with folder.written(TrainConfig(epochs=epochs, overwrite=True), FACTS) as new:
        new.best.write_bytes(b"")
        (new.samples / "epoch-0001-generated.png").write_bytes(b"")
        events = new.tensorboard / "train" / "events.out.tfevents.1.host.2.0.v2"
        events.parent.mkdir(parents=True)
        events.write_bytes(b"")
        new.history.write_text("")
        new.model.write_bytes(b"")
    (folder.export / "saved_model").mkdir(parents=True)
    (folder.export / "saved_model" / "saved_model.pb").write_bytes(b"")
    files = {"saved_model/saved_model.pb": ""}
    manifest = {"files": {}, "artifacts": {"saved_model": {"files": files}}}
    (folder.export / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    write(folder)
    return folder


def names(path):
    return sorted(found.relative_to(path).as_posix() for found in path.rglob("*"))


def test_a_new_run_takes_the_place_of_an_old_one(folder, tmp_path):
    expected = names(tmp_path)
    write(folder, epochs=2)
    assert names(tmp_path) == expected
    assert folder.read()[0].epochs == 2


@pytest.mark.parametrize(
    "name",
    [
        "thesis.tex",
        "src/main.py",
        "samples/me.png",
        "tensorboard/mine",
        "export/app.html",
        "export/saved_model/notes.txt",
        ".export.partial-mine",
        "checkpoints/a",
    ],
)
def test_a_folder_with_something_else_is_refused(folder, name, tmp_path):
    path = folder.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    before = names(tmp_path)
    name = name.removesuffix("/main.py")
    with pytest.raises(OutputError, match=f"holds {name}, which is not of a run"):
        folder.check_output(overwrite=True)
    assert names(tmp_path) == before


@pytest.mark.parametrize("text", ["{}", "[]", "not JSON", "\xff", None])
def test_a_config_json_alone_makes_no_run(tmp_path, text):
    text = TrainConfig().to_json() if text is None else text  # without data
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(OutputError, match="files that are not a run"):
        RunFolder(tmp_path).check_output(overwrite=True)
    assert names(tmp_path) == ["config.json"]


@pytest.mark.parametrize("inside", [".", "images", "images/train.npz"])
def test_the_images_are_never_in_a_run_folder(folder, inside):
    with pytest.raises(UsageError, match="overlap"):
        folder.check_output(overwrite=True, data=folder.path / inside)


def test_a_run_may_lie_beside_its_images(folder, tmp_path):
    (tmp_path / "train.npz").write_bytes(b"")
    folder.check_output(overwrite=True, data=tmp_path / "train.npz")


def test_what_a_link_points_to_is_not_removed(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "epoch-0001-generated.png").write_text("mine")
    for path in folder.samples.iterdir():
        path.unlink()
    folder.samples.rmdir()
    folder.samples.symlink_to(tmp_path / "elsewhere")
    write(folder, epochs=2)
    assert names(tmp_path / "elsewhere") == ["epoch-0001-generated.png"]
    assert not folder.samples.is_symlink()


def test_a_linked_folder_keeps_its_link(folder, tmp_path):
    link = RunFolder(tmp_path / "link")
    link.path.symlink_to(folder.path)
    write(link, epochs=2)
    assert link.path.is_symlink() and folder.read()[0].epochs == 2


def test_two_trainings_into_one_folder_are_kept_apart(folder, tmp_path):
    config = TrainConfig(overwrite=True)
    fresh = RunFolder(tmp_path / "fresh")
    for target in (folder, fresh):
        with target.written(config, FACTS) as new:
            before = names(tmp_path)
            with pytest.raises(OutputError, match="Another training is writing"):
                with target.written(config, FACTS):
                    pass
            assert names(tmp_path) == before
            new.model.write_bytes(b"")
    assert names(tmp_path).count("run/model.keras") == 1


def test_a_failure_before_the_first_checkpoint_leaves_nothing(folder, tmp_path):
    fresh = RunFolder(tmp_path / "fresh")
    before = names(tmp_path)
    for target in (folder, fresh):
        with pytest.raises(ZeroDivisionError):
            with target.written(TrainConfig(overwrite=True), FACTS):
                raise ZeroDivisionError
        assert names(tmp_path) == before


@pytest.mark.parametrize("kept", [True, False])
def test_a_run_that_was_being_replaced_at_a_kill_is_never_removed(
    folder, kept, tmp_path
):
    replaced = folder.path.with_name("run.replaced")
    os.rename(folder.path, replaced)
    new = RunFolder(folder.path if kept else folder.path.with_name("run.partial"))
    write(new)
    before = names(tmp_path)
    if not kept:  # the folder's name is free
        folder.check_output(overwrite=True)
        os.rename(replaced, folder.path)
        before = names(tmp_path)
    with pytest.raises(OutputError, match="took the place of .* rename it first"):
        folder.check_output(overwrite=True)
    assert names(tmp_path) == before


def test_the_current_folder_is_not_replaced(folder, monkeypatch):
    monkeypatch.chdir(folder.samples)
    with pytest.raises(OutputError, match="the current folder"):
        folder.check_output(overwrite=True)


def test_what_a_killed_export_left_is_a_runs(folder, tmp_path):
    expected = names(tmp_path)
    staging = folder.path / ".export.partial-abc"
    (staging / "web").mkdir(parents=True)
    (staging / "keras_vae.partial").write_text("")
    (staging / "web" / "index.html").write_text("")
    write(folder, epochs=2)
    assert names(tmp_path) == expected
