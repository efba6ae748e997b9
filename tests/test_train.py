import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_vae import train as train_module
from keras_vae.runs.trained import load_run
from keras_vae.train import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images of 8x8 with something to learn: a bright square that moves."""
    rng = np.random.default_rng(0)
    images = np.zeros((120, 8, 8), np.uint8)
    for image, (row, column) in zip(images, rng.integers(0, 5, (120, 2)), strict=True):
        image[row : row + 4, column : column + 4] = 255
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    np.savez(path, images=images, labels=np.arange(120) % 3)
    return path


def options(data, run, *more):
    return (
        f"--dataset {data} --output {run} --epochs 3 --batch-size 16 --hidden 12 "
        "--latent-dim 2 --learning-rate 0.01 --seed 5"
    ).split() + list(more)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A finished run, trained by the command in a process of its own."""
    run = tmp_path_factory.mktemp("runs") / "a" / "my&run"
    done = subprocess.run(
        [sys.executable, "-m", "keras_vae.train", *options(data, run)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "98 training, 10 validation and 12 test" in done.stdout.splitlines()[0]
    assert "parity decoder.onnx" in done.stdout and "the same images" in done.stdout
    assert f"{run}. Next:\n  python -m keras_vae.generate '{run}'\n" in done.stdout
    return run


def test_the_run_folder_holds_what_the_readme_says(run):
    names = {path.relative_to(run).as_posix() for path in run.rglob("*")}
    assert {
        "config.json",
        "environment.json",
        "history.csv",
        "metrics.json",
        "model.keras",
        "checkpoints/best.safetensors",
        "checkpoints/epoch-0002-step-000000.safetensors",
        "checkpoints/epoch-0003-step-000000.safetensors",
        "export/decoder.onnx",
        "export/saved_model/saved_model.pb",
        "export/parity.json",
    } <= names
    assert not [name for name in names if ".tmp" in name]
    for epoch in (1, 2, 3):
        for kind in ("generated", "reconstructed"):
            with Image.open(run / f"samples/epoch-{epoch:04d}-{kind}.png") as picture:
                assert picture.mode == "L" and min(picture.size) > 50


def test_the_history_has_a_row_an_epoch_and_adds_up(run):
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for row in rows:
        assert 0 < float(row["seconds"]) < 60
        for prefix in ("", "val_"):
            elbo = float(row[prefix + "elbo"])
            parts = float(row[prefix + "log_likelihood"]) - float(
                row[prefix + "kl_divergence"]
            )
            assert elbo == pytest.approx(parts, rel=1e-5)
            assert elbo == pytest.approx(-float(row[prefix + "loss"]), rel=1e-5)
    assert float(rows[2]["loss"]) < float(rows[0]["loss"])


def test_the_metrics_are_those_of_the_saved_model(run):
    from keras_vae.data import sources

    report = json.loads((run / "metrics.json").read_text())
    vae, config = load_run(run)
    vae.compile()
    source = sources.load(config.dataset, seed=config.seed)
    assert report["num_images"] == len(source.test.images)
    again = vae.evaluate(source.test.images, batch_size=16, verbose=0, return_dict=True)
    for name in ("elbo", "log_likelihood", "kl_divergence"):
        assert report[name] == pytest.approx(again[name], rel=1e-5)


def test_the_same_command_writes_the_same_run(run, data, tmp_path, capsys):
    assert main(options(data, tmp_path / "again", "--export", "none")) == 0
    assert not (tmp_path / "again" / "export").exists()
    report = [
        json.loads((r / "metrics.json").read_text()) for r in (run, tmp_path / "again")
    ]
    assert report[0] == report[1]
    picture = "samples/epoch-0003-generated.png"
    assert (run / picture).read_bytes() == (tmp_path / "again" / picture).read_bytes()


def test_a_run_is_not_overwritten_unless_told(run, data, capsys):
    before = (run / "model.keras").read_bytes()
    assert main(options(data, run)) == 2
    assert (
        "already holds a run; choose another with --output" in capsys.readouterr().err
    )
    assert (run / "model.keras").read_bytes() == before


def test_overwrite_replaces_a_run(data, tmp_path, capsys):
    arguments = options(data, tmp_path / "run", "--export", "none", "--epochs", "1")
    assert main(arguments) == 0
    assert main([*arguments, "--overwrite", "--seed", "6"]) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["seed"] == 6


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("--dataset digitz", 2, "Did you mean 'digits'?"),
        ("--dataset {tmp}/missing/", 3, "missing"),
        ("--dataset {data} --export onxx", 2, "Unknown export format 'onxx'"),
        ("--dataset {data} --output {tmp}/file", 5, "is not a folder"),
        ("--dataset {data} --output {tmp}/full", 5, "files that are not a run"),
        ("--dataset {data} --output {tmp}/full --overwrite", 5, "are not a run"),
        ("--dataset {tmp}/images --output {tmp}", 2, "overlap"),
        ("--dataset {tmp}/images --output {tmp}/images --overwrite", 2, "overlap"),
        ("--dataset {tmp}/images --output {tmp}/images/run", 2, "overlap"),
        ("--dataset ~nobody/x", 3, "no such file"),
        ("--output=", 2, "--output is empty"),
        ("--dataset {data} --hidden 1000000 1000000", 2, "GB; lower --hidden."),
        ("--dataset {data} --epochs 99999999999999999999999", 2, "epochs must be"),
        ("--dataset {data} --fused-steps 100000000", 2, "fused_steps must be"),
        ("--dataset {data} --kl-warmup inf", 2, "kl_warmup must be a number"),
        ("--dataset {data} --learning-rate-warmup -1", 2, "learning_rate_warmup must"),
        ("--dataset {data} --early-stopping 0", 2, "early_stopping must be a whole"),
        ("--dataset {data} --ema 1", 2, "ema must be a number between 0 and 1"),
        ("--dataset {data} --clip-norm 0", 2, "clip_norm must be a number > 0"),
        (
            "--dataset {data} --early-stopping 2 --validation-images 0",
            2,
            "--early-stopping needs validation images",
        ),
        ("--epoch 3", 2, "Unknown option --epoch. Did you mean --epochs?"),
        ("--hidden 400,200", 2, "Put spaces between values: --hidden 400 200."),
        ("--latent-dim two", 2, "--latent-dim cannot be 'two'"),
        ("--beta two", 2, "--beta cannot be 'two'"),
        ("--learning-rate two", 2, "--learning-rate must be a number; got 'two'"),
        ("--dataset {data} --output /proc/nowhere", 5, "cannot be written"),
        ("--dataset {data} --epochs 0", 2, "epochs must be a whole number >= 1"),
        ("--epochs many", 2, "--epochs must be a whole number; got 'many'"),
        ("--dataset {data} --learning-rate -1", 2, "learning_rate must be"),
        ("--dataset {data} --likelihood beta", 2, "Unknown likelihood 'beta'"),
        ("--dataset {data} --objective iwae --free-bits 1", 2, "iwae has no free_bits"),
        ("--dataset {data} --network conv --hidden 4 4 4 4", 2, "can be halved"),
        (
            "--dataset {data} --binarization fixed --dataset digits",
            3,
            "black and white",
        ),
        ("--dataset {data} --no-such-flag", 2, "--no-such-flag"),
        ("--dataset {tmp}/pickled.npz", 3, "pickle"),
        ("--dataset {tmp}/bright.npy", 3, "255"),
    ],
)
def test_a_wrong_input_gives_one_line_and_leaves_nothing(
    arguments, status, message, data, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    (tmp_path / "full" / "config.json").write_text('{"compilerOptions": {}}')
    (tmp_path / "images").mkdir()
    np.savez(tmp_path / "pickled.npz", images=np.array([{}, {}], object))
    np.save(tmp_path / "bright.npy", np.full((20, 8, 8), 300))
    before = sorted(tmp_path.rglob("*"))
    assert main(arguments.format(data=data, tmp=tmp_path).split()) == status
    error = capsys.readouterr().err
    assert error.startswith("keras-vae: error: ") and error.count("\n") == 1
    assert message in error and len(error) < 320
    assert sorted(tmp_path.rglob("*")) == before


def test_a_training_that_diverges_ends_with_one_line_and_leaves_nothing(
    data, tmp_path, capsys
):
    arguments = options(data, tmp_path / "run", "--learning-rate", "1e20")
    assert main(arguments) == 6
    assert "The loss became" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def old(run, tmp_path):
    """A finished run that may be lost."""
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("learning_rate", "error"),
    [("1e20", "The loss became"), ("0.01", "Out of memory: too much of it. Lower")],
)
def test_a_run_outlives_the_failure_of_what_was_to_replace_it(
    learning_rate, error, old, data, capsys, monkeypatch
):
    def exhausted(*args, **kwargs):
        raise MemoryError("too much of it")

    if learning_rate == "0.01":
        monkeypatch.setattr(
            "keras_vae.training.callbacks.BestWeights.on_epoch_end", exhausted
        )
    before = contents(old)
    more = ["--overwrite", "--learning-rate", learning_rate]
    assert main(options(data, old, *more)) in (2, 6)
    assert error in capsys.readouterr().err
    assert contents(old) == before
    assert list(old.parent.iterdir()) == [old]


def test_a_run_stays_until_another_is_trained(old, data, capsys, monkeypatch):
    def interrupted(callback, epoch, logs=None):
        assert contents(old) == before
        if epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(
        "keras_vae.training.callbacks.ImageGrids.on_epoch_end", interrupted
    )
    before = contents(old)
    arguments = options(data, old, "--overwrite", "--export", "none")
    assert main(arguments) == 130
    assert contents(old) == before
    partial = old.with_name("run.partial")
    assert f"stays as it is until {partial} is trained" in capsys.readouterr().out
    assert [*(partial / "checkpoints").glob("epoch-0001-*.safetensors")]
    monkeypatch.undo()
    assert main([*arguments, "--epochs", "1"]) == 0  # also what was left is replaced
    assert list(old.parent.iterdir()) == [old]
    assert json.loads((old / "config.json").read_text())["epochs"] == 1
    assert not (old / "export").exists()


def test_a_run_that_was_cut_short_says_how_to_go_on(old, data, capsys):
    from keras_vae.evaluate import main as evaluate

    (old / "model.keras").unlink()
    assert evaluate([str(old)]) == 4
    assert "Finish it with `python -m keras_vae.train --resume --out" in (
        capsys.readouterr().err
    )
    arguments = options(data, old, "--export", "none", "--epochs", "1")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "holds an unfinished run; finish it with `python -m keras_vae.train" in error
    assert main([*arguments, "--overwrite"]) == 0
    assert (old / "model.keras").is_file()


def test_steps_and_batches_beyond_an_epoch_are_an_epoch(data, tmp_path, capsys):
    more = "--batch-size 1000000 --fused-steps 100000 --epochs 1 --export none".split()
    assert main(options(data, tmp_path / "all", *more)) == 0
    more = "--batch-size 98 --fused-steps 2 --epochs 1 --export none".split()
    assert main(options(data, tmp_path / "same", *more)) == 0
    histories = [
        list(csv.DictReader((tmp_path / name / "history.csv").read_text().splitlines()))
        for name in ("all", "same")
    ]
    for (row,) in histories:
        del row["seconds"]
    assert histories[0] == histories[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_dim": 3}, "does not hold the weights that config.json describes"),
        ({"latent_dim": "3"}, "latent_dim must be a whole number"),
        ({"num_flows": 3}, "diagonal_gaussian has no num_flows"),
        (
            {
                "num_samples": 2,
                "objective": "infovae",
                "beta": None,
                "warmup_cycles": None,
                "free_bits": None,
                "alpha": 2.0,
                "lambda_": 1.0,
            },
            "describes no model",
        ),
        ({"zeal": 11}, "it has the unknown option 'zeal'"),
        ({"data": {}}, "does not say what its data's"),
        ({"data": {"name": "x"}}, "does not say what its data's class_names, image"),
    ],
)
def test_a_config_that_fits_no_run_is_one_line(change, message, old, capsys):
    from keras_vae.evaluate import main as evaluate

    path = old / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert evaluate([str(old)]) == 4
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error and len(error) < 400


def test_help_and_import_leave_tensorflow_alone():
    for module in ("keras_vae.train", "keras_vae.generate", "export"):
        code = (
            "import sys, runpy\n"
            f"sys.argv = ['x', '--help']\n"
            "try:\n"
            f"    runpy.run_module({module!r}, run_name='__main__')\n"
            "except SystemExit as done:\n"
            "    assert not done.code, done.code\n"
            "heavy = {'tensorflow', 'keras', 'onnx', 'matplotlib'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "usage" in done.stdout


def test_train_is_a_function_of_its_module_only():
    import keras_vae

    assert "train" not in keras_vae.__all__
    assert callable(train_module.train)
