import tomllib
from pathlib import Path

import pytest

from keras_vae import evaluate
from keras_vae.generate import main
from keras_vae.run_paths import PRETRAINED, at_hand, missing
from tests.pretrained import NAMES

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_model_that_came_with_the_package_is_found_anywhere(
    name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = Path("saved_models") / name
    for inside in (path, path / "export"):
        assert at_hand(inside) == ROOT / inside
        assert at_hand(inside).is_dir()


def test_what_is_there_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = Path("saved_models/mnist")
    own.mkdir(parents=True)
    assert at_hand(own) == own
    for other in ("saved_models", "saved_models/vae", "mnist", "a/saved_models/mnist"):
        assert at_hand(other) == Path(other)


def test_the_wheel_holds_them():
    assert tuple(NAMES) == PRETRAINED
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "saved_models" in data["packages"]["find"]["include"]
    assert {f"{n}/**" for n in PRETRAINED} < set(data["package-data"]["saved_models"])


def test_generate_works_in_an_empty_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--num-images", "4"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["generated.png"]
    assert main(["saved_models/emoij"]) == 4
    assert "There is no run folder saved_models/emoij" in capsys.readouterr().err


def test_what_would_write_to_one_asks_for_a_copy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert evaluate.main(["saved_models/mnist"]) == 4
    said = capsys.readouterr().err
    copy = f"cp -r {ROOT}/saved_models/mnist saved_models/mnist"
    assert f"`mkdir -p saved_models && {copy}`." in said


def test_a_folder_of_nearly_that_name_is_offered(tmp_path):
    (tmp_path / "faces").mkdir()
    assert str(missing(tmp_path / "face")).endswith(
        f"; did you mean {tmp_path / 'faces'}?"
    )
    assert str(missing(tmp_path / "other")).endswith("/other`.")
