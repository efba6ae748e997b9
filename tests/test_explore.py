import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from keras_vae.explore import main
from keras_vae.train import main as train


@pytest.fixture(scope="module")
def run(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    options = f"--dataset {rows} --output {folder} --epochs 2 --hidden 8"
    more = "--latent-dim 2 --batch-size 16 --export none"
    assert train([*options.split(), *more.split()]) == 0
    return folder


def test_command_alone(run, tmp_path):
    """One process: help without TensorFlow, then a picture, and a quiet stderr."""
    code = (
        "import sys; from keras_vae.explore import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'scipy'} & {*sys.modules}\n"
        "sys.exit(str(heavy) if heavy else main(sys.argv[1:]))"
    )
    output = tmp_path / "manifold.png"
    arguments = [str(run), "manifold", "--steps", "3", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and str(output) in done.stdout
    with Image.open(output) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize(
    "arguments",
    ["traverse --steps 5", "interpolate --seeds 1 2", "attribute --from 0 --to 2"],
)
def test_command_writes_png_and_gif(run, tmp_path, arguments):
    for kind in ("PNG", "GIF"):
        output = tmp_path / f"picture.{kind.lower()}"
        assert main([str(run), *arguments.split(), "--output", str(output)]) == 0
        with Image.open(output) as picture:
            assert picture.format == kind
    assert {path.name for path in tmp_path.iterdir()} == {"picture.png", "picture.gif"}


def test_the_next_command_keeps_the_class_and_the_images(
    untrained, rows, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    untrained(tmp_path, conditional=True)
    words = [".", "traverse", "--steps", "2", "--label", "top", "--dataset", str(rows)]
    for picture in ("interpolate", "traverse"):
        assert main(words) == 0
        command = shlex.split(capsys.readouterr().out.splitlines()[-1])
        words = command[3:]
        options = ["--dataset", str(rows), "--label", "top"]
        assert command == ["python", "-m", "keras_vae.explore", ".", picture, *options]


def test_command_draws_charts_with_the_same_bytes(run, tmp_path):
    for name in ("a.png", "b.png"):
        assert main([str(run), "plots", "--output", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("traverse --output a.jpg", "must end in .png or .gif; got a.jpg"),
        ("manifold --output a.gif", "must end in .png; got a.gif"),
        ("traverse --output nowhere/a.png", "There is no folder nowhere"),
        ("traverse --steps 1", "steps must be a whole number >= 2"),
        ("traverse --output=", "--output is empty"),
        ("traverse --steps 100000000", "steps must be a whole number <= 100"),
        ("manifold --steps 100000000", "steps must be a whole number <= 100"),
        ("traverse --dimensions 100000000", "dimensions must be a whole number <= 100"),
        ("attribute --from 0 --to 1 --strength inf", "strength must be a number"),
        ("traverse --dimensions 0", "dimensions must be a whole number >= 1"),
        ("traverse --image 1 --seed 2", "at --image or at --seed, not at both"),
        ("interpolate --images 1 2 --seeds 1 2", "not both"),
        ("interpolate --path sperical", "Did you mean 'spherical'?"),
        ("attribute --from 0 --to 1 --strength nan", "strength must be a number >= 0"),
        ("attribute --from 0", "--to"),
        ("bogus", "bogus"),
        ("attribute", "--from and --to are missing. See --help."),
        ("travers", "Unknown argument travers. Did you mean traverse? See --help."),
        ("interpolate --images 1", "cannot be '1'. It takes 2 values. See --help."),
        ("", "What to do is missing: one of traverse, interpolate, attribute,"),
        ("traverse --dataset few.npz --steps 1", "steps must be a whole number"),
    ],
)
def test_command_says_in_one_line_what_is_wrong(capsys, arguments, message):
    assert main(["no_run", *arguments.split()]) == 2  # before the run is looked at
    error = capsys.readouterr().err
    assert error.startswith("keras-vae: error: ") and error.count("\n") == 1
    assert message in error


def test_command_refuses_a_folder_that_is_no_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([str(tmp_path), "traverse"]) == 4
    assert "is no run folder" in capsys.readouterr().err
    assert not list(Path(tmp_path).iterdir())
