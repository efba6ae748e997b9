import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_vae.config import TrainConfig
from keras_vae.errors import DataError, UsageError
from keras_vae.explore import Attribute, Interpolate, Manifold, Traverse, main
from keras_vae.exploring import paths, views
from keras_vae.runs.build import build_vae
from keras_vae.runs.trained import TrainedRun
from keras_vae.train import main as train

SHAPE = (6, 5, 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images of three classes: a bright row at the top, the middle, the bottom."""
    path = tmp_path_factory.mktemp("data") / "rows.npz"
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 80)
    images = rng.integers(0, 60, (80, *SHAPE[:2]), np.uint8)
    images[np.arange(80), 2 * labels] = 250
    np.savez(
        path,
        x_train=images[:60],
        y_train=labels[:60],
        x_test=images[60:],
        y_test=labels[60:],
    )
    return path


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    options = f"--dataset {data} --output {folder} --epochs 2 --hidden 8"
    more = "--latent-dim 2 --batch-size 16 --export none"
    assert train([*options.split(), *more.split()]) == 0
    return folder


def untrained(folder, data, **options):
    """A run that was never trained: other models, at once."""
    config = TrainConfig(
        **{"dataset": str(data), "hidden": (8,), "latent_dim": 4, **options}
    )
    vae = build_vae(config, SHAPE, 3, num_images=54)
    vae.compile()
    vae.save(folder / "model.keras")
    facts = {
        "name": "rows",
        "image_shape": SHAPE,
        "num_classes": 3,
        "num_images": 54,
        "class_names": ["top", "middle", "bottom"],
    }
    config = json.loads(config.to_json()) | {"data": facts}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def view(trained, options):
    fields = dataclasses.asdict(options)
    del fields["output"]
    return getattr(views, type(options).__name__.lower())(trained, **fields)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    return TrainedRun(untrained(tmp_path_factory.mktemp("four"), data))


@pytest.fixture(scope="module")
def conditional(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("conditional")
    return TrainedRun(
        untrained(folder, data, conditional=True, prior="mixture", latent_dim=2)
    )


# === Views ===


def test_relevance_is_the_mean_kl_divergence(trained):
    mean, log_var = np.split(trained.vae.encoder(trained.images / 255.0), 2, axis=1)
    kl = 0.5 * (mean**2 + np.exp(log_var) - log_var - 1)
    values, unit = trained.relevance
    np.testing.assert_allclose(values, kl.mean(axis=0), rtol=1e-4)
    assert unit == "nats"


def test_traverse_varies_the_most_relevant_latents(trained):
    table = view(trained, Traverse(image=5, dimensions=3, steps=5))
    assert table.images.shape == (3, 5, *SHAPE)
    values, _ = trained.relevance
    best = np.argsort(-values)[:3]
    assert [row.split(":")[0] for row in table.rows] == [f"z{d}" for d in best]
    assert table.columns == ["-3", "-1.5", "0", "1.5", "3"]
    z = trained.vae.encode(trained.images[5:6])
    z[0, best[1]] = -1.5
    np.testing.assert_allclose(table.images[1, 1], trained.vae.decode(z)[0], atol=1e-6)
    start = trained.vae.reconstruct(trained.images[5:6])
    np.testing.assert_allclose(table.before[1], start.repeat(3, axis=0), atol=1e-6)


def test_traverse_starts_at_the_image_that_generate_makes(trained):
    table = view(trained, Traverse(seed=9))
    assert table.images.shape == (4, 7, *SHAPE)  # no more rows than latents
    expected = trained.vae.generate(1, seed=9)
    np.testing.assert_allclose(table.before[1][:1], expected, atol=1e-6)


def test_traverse_follows_a_learned_prior(conditional):
    vae = conditional.vae
    table = view(conditional, Traverse(seed=1, label=2, steps=3))
    values, unit = conditional.relevance
    assert unit == "variance"
    first = values.argmax()
    draws = conditional.prior_draws(0, views.PRIOR_DRAWS)[:, first]
    z = conditional.prior_draws(1).copy()
    z[0, first] = draws.mean() + 3 * draws.std()
    expected = vae.decode(z, np.array([2]))
    np.testing.assert_allclose(table.images[0, 2], expected[0], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "unit"),
    [
        ({"posterior": "full_gaussian"}, "variance"),
        ({"posterior": "iaf", "prior": "mixture"}, "variance"),
        ({"prior": "vampprior"}, "variance"),
        ({"conditional": True}, "nats"),
    ],
)
def test_views_of_other_models(data, tmp_path, options, unit):
    trained = TrainedRun(untrained(tmp_path, data, **options))
    for picture in (Traverse(image=1), Interpolate(images=(0, 1))):
        assert np.isfinite(view(trained, picture).images).all()
    values, found = trained.relevance
    assert found == unit and values.shape == (4,)
    if unit == "variance":
        np.testing.assert_array_equal(values, trained.mean.var(axis=0))


@pytest.mark.parametrize("path", paths.PATHS)
def test_interpolation_begins_and_ends_at_its_images(trained, path):
    table = view(trained, Interpolate(images=(2, 7), path=path, steps=4))
    ends = trained.vae.reconstruct(trained.images[[2, 7]])
    np.testing.assert_allclose(table.images[0, [0, -1]], ends, atol=1e-6)
    np.testing.assert_array_equal(table.before[1], trained.images[[2]])
    np.testing.assert_array_equal(table.after[1], trained.images[[7]])
    table = view(trained, Interpolate(seeds=(3, 8), path=path, steps=4))
    ends = [trained.vae.generate(1, seed)[0] for seed in (3, 8)]
    np.testing.assert_allclose(table.images[0, [0, -1]], ends, atol=1e-6)
    assert table.before is None and table.after is None


def test_attribute_adds_the_difference_of_the_class_means(trained):
    table = view(trained, Attribute(0, 2, strength=2.0, steps=3))
    labels, mean = trained.source.test.labels, trained.vae.encode(trained.images)
    chosen = np.flatnonzero(labels == 0)[:6]
    direction = mean[labels == 2].mean(axis=0) - mean[labels == 0].mean(axis=0)
    for column, strength in enumerate((0, 1, 2)):
        expected = trained.vae.decode(mean[chosen] + strength * direction)
        np.testing.assert_allclose(table.images[:, column], expected, atol=1e-5)
    assert table.title == "Attribute: from class top to class bottom"
    table = view(trained, Attribute(0, 2, images=(4,)))
    np.testing.assert_array_equal(table.before[1], trained.images[[4]])


def test_manifold_is_the_plane_on_quantiles(run):
    trained = TrainedRun(run)
    table = view(trained, Manifold(steps=4))
    z = paths.quantile_grid(4)
    expected = trained.vae.decode(z[1, 2][None])
    np.testing.assert_allclose(table.images[1, 2], expected[0], atol=1e-6)
    assert table.columns == ["-1.2", "-0.3", "0.3", "1.2"] == table.rows[::-1]


def test_conditional_model_decodes_as_the_class(conditional):
    label = conditional.source.test.labels[4]
    own = view(conditional, Traverse(image=4))
    same = view(conditional, Traverse(image=4, label=int(label)))
    other = view(conditional, Traverse(image=4, label=int(label + 1) % 3))
    np.testing.assert_array_equal(own.images, same.images)
    assert np.abs(own.images - other.images).max() > 1e-3
    for options in (Traverse(), Interpolate(), Interpolate(label=3)):
        with pytest.raises(UsageError, match="choose a class from 0 to 2 with --label"):
            view(conditional, options)
    with pytest.raises(UsageError, match="not by an attribute"):
        view(conditional, Attribute(0, 1))
    with pytest.raises(UsageError, match="has the prior mixture"):
        view(conditional, Manifold(label=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Traverse(image=20), "numbered from 0 to 19; got 20"),
        (Interpolate(images=(0, -1)), "numbered from 0 to 19; got -1"),
        (Traverse(label=1), "takes no label"),
        (Traverse(seed=2**24), "The seed must be"),
        (Attribute(0, 5), "No image has class 5"),
        (Manifold(), "latent_dim 2; this run has 4"),
    ],
)
def test_views_refuse_what_is_not_there(trained, options, message):
    with pytest.raises(UsageError, match=message):
        view(trained, options)


def test_dynamic_binarization_shows_what_the_model_sees(data, tmp_path):
    trained = TrainedRun(untrained(tmp_path, data, binarization="dynamic"))
    assert set(np.unique(trained.images)) == {0, 255}


def test_other_data_than_that_of_the_run_is_refused(data, tmp_path):
    folder = untrained(tmp_path, data)
    other = tmp_path / "other.npz"
    other.write_bytes(data.read_bytes())
    text = (folder / "config.json").read_text().replace("rows.npz", "other.npz")
    text = text.replace(str(data.parent), str(tmp_path))
    (folder / "config.json").write_text(text)
    with pytest.raises(DataError, match="was trained on rows, but"):
        _ = TrainedRun(folder).images


# === The command ===


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


def test_command_draws_charts_with_the_same_bytes(run, tmp_path):
    for name in ("a.png", "b.png"):
        assert main([str(run), "plots", "--output", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("latent_dim", [1, 4])
def test_charts_of_any_number_of_latents(data, tmp_path, latent_dim):
    trained = TrainedRun(untrained(tmp_path, data, latent_dim=latent_dim))
    drawn = [chart.func.__name__ for chart in views.charts_of(trained)]
    plane = ["draw_latents"] if latent_dim > 1 else []
    assert drawn == [*plane, "draw_relevance"]  # no history.csv, no curves


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
    assert "is not a finished run" in capsys.readouterr().err
    assert not list(Path(tmp_path).iterdir())
