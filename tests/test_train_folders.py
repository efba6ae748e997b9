"""A folder of images, from the command line to an exported decoder."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_vae.evaluate import main as evaluate
from keras_vae.explore import main as explore
from keras_vae.train import main
from tests.faults.commands import digests


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty pictures of two classes, of two sizes, with transparent pixels."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    rng = np.random.default_rng(0)
    for name, axis in (("bars", 0), ("columns", 1)):
        (folder / name).mkdir(parents=True)
        for number in range(30):
            image = rng.integers(0, 60, (12, 12 + number % 2, 4), np.uint8)
            image[..., 3] = 255
            np.moveaxis(image, axis, 0)[number % 8 : number % 8 + 4] = (250, 90, 0, 100)
            Image.fromarray(image).save(folder / name / f"{number}.png")
    return folder


def options(folder, run, *more):
    return (
        f"--dataset {folder} --output {run} --epochs 1 --batch-size 16 --hidden 8 "
        "--latent-dim 2 --conditional"
    ).split() + list(more)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "shapes"
    more = "--image-size 6 8 --resize pad --background #00ff00 --export onnx".split()
    assert main(options(folder, run, *more)) == 0
    return run


def test_a_folder_becomes_a_decoder_that_knows_its_classes(run):
    manifest = json.loads((run / "export" / "manifest.json").read_text())
    assert manifest["training"]["data"]["class_names"] == ["bars", "columns"]
    assert json.loads((run / "config.json").read_text())["image_size"] == [6, 8]
    with Image.open(run / "samples" / "inputs.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.ndim == 3 and (pixels == [0, 255, 0]).all(axis=2).any()  # padded


def test_what_was_found_is_said_before_the_training(folder, tmp_path, capsys):
    more = "--image-size 6 --export none".split()
    assert main(options(folder, tmp_path / "run", *more)) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == (
        f"Images from {folder}: 49 training, 5 validation and 6 test images of 6x6x3."
    )
    assert second == (
        "2 classes: bars 30, columns 30. Files of 12x12 to 12x13 pixels, brought to "
        "6x6 (crop); 60 transparent (over white)."
    )


@pytest.mark.parametrize("more", ["--memory-budget 0", "--memory-budget 0 --cache {}"])
def test_a_streamed_run_is_the_run_in_memory(more, run, folder, tmp_path, capsys):
    more = more.format(tmp_path / "cache").split()
    more += "--image-size 6 8 --resize pad --background #00ff00 --export none".split()
    streamed = tmp_path / "run"
    assert main(options(folder, streamed, *more)) == 0
    where = "the cache" if "--cache" in more else "their files"
    assert f"GB: read from {where} when they are needed." in capsys.readouterr().out
    for name in ("metrics.json", "samples/epoch-0001-reconstructed.png"):
        assert (streamed / name).read_bytes() == (run / name).read_bytes(), name
    assert evaluate([str(streamed), "--num-samples", "2"]) == 0


def test_a_training_goes_on_where_less_memory_is(folder, tmp_path, capsys):
    run, again = tmp_path / "run", ["--resume", "--epochs", "2", "--memory-budget", "0"]
    assert main(options(folder, run, "--image-size", "6", "--export", "none")) == 0
    assert main([*again, "--output", str(run)]) == 4
    assert "bring its images back, or allow it if they" in capsys.readouterr().err
    assert main([*again, "--output", str(run), "--elsewhere"]) == 0
    said = capsys.readouterr().out
    assert "read from their files" in said and "Epoch 2/2" in said
    assert "holds the decoder as it was" not in said
    (run / "export").mkdir()
    (run / "export" / "manifest.json").write_text("{}")
    assert main(["--resume", "--output", str(run), "--epochs", "3"]) == 0
    assert not json.loads((run / "config.json").read_text())["elsewhere"]
    assert f"{run / 'export'} holds the decoder as it was" in capsys.readouterr().out


def test_a_run_finds_its_images_again(run, tmp_path, capsys):
    assert evaluate([str(run), "--num-samples", "2"]) == 0
    assert "6 images" in capsys.readouterr().out
    picture = tmp_path / "a.png"
    command = ["interpolate", "--images", "0", "5", "--output", str(picture)]
    assert explore([str(run), *command]) == 0
    assert picture.is_file()


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        ("", 3, "pixels and"),
        ("--image-size 6 --channels 2", 2, "--channels"),
        ("--image-size six", 2, "--image-size"),
        ("--image-size 6x5", 2, "Put spaces between values: --image-size 6 5."),
        ("--image-size 6 --max-megapixels 0", 2, "max_megapixels must be a whole"),
        ("--image-size 6 --output {folder}/run", 2, "overlap"),
        ("--dataset {folder}/bars/1.png", 3, "expected a folder of images"),
        ("--dataset {folder}/bars --image-size 6", 2, "needs labels; bars has none"),
        ("--dataset {broken} --image-size 6", 3, "of 31 images 1 cannot be used"),
    ],
)
def test_a_wrong_folder_gives_one_line_and_leaves_nothing(
    more, status, message, folder, tmp_path, capsys
):
    broken = tmp_path / "broken" / "a"
    broken.mkdir(parents=True)
    for path in (folder / "bars").iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "cut.png").write_bytes((broken / "1.png").read_bytes()[:60])
    before = digests(tmp_path), digests(folder)
    more = more.format(folder=folder, broken=tmp_path / "broken").split()
    assert main(options(folder, tmp_path / "run", *more)) == status
    error = capsys.readouterr().err
    assert error.startswith("keras-vae: error: ") and error.count("\n") == 1
    assert message in error and len(error) < 300 + 2 * len(str(tmp_path))
    assert (digests(tmp_path), digests(folder)) == before
