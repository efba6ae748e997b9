import numpy as np
import pytest
from PIL import Image

from keras_vae.data.splits import ArraySplit
from keras_vae.errors import UsageError
from keras_vae.explore import Attribute, Interpolate, Manifold, Traverse, view
from keras_vae.exploring import paths, views
from keras_vae.runs.trained import TrainedRun

SHAPE = (6, 5, 1)


@pytest.fixture(scope="module")
def trained(untrained, tmp_path_factory):
    return TrainedRun(untrained(tmp_path_factory.mktemp("four")))


@pytest.fixture(scope="module")
def conditional(untrained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("conditional")
    return TrainedRun(
        untrained(folder, conditional=True, prior="mixture", latent_dim=2)
    )


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
def test_views_of_other_models(untrained, tmp_path, options, unit):
    trained = TrainedRun(untrained(tmp_path, **options))
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


def test_manifold_is_the_plane_on_quantiles(untrained, tmp_path):
    trained = TrainedRun(untrained(tmp_path, latent_dim=2))
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
    for options in (Traverse(), Interpolate()):
        with pytest.raises(UsageError, match="choose a class with --label, one of"):
            view(conditional, options)
    with pytest.raises(UsageError, match="a class from 0 to 2"):
        view(conditional, Interpolate(label=3))
    with pytest.raises(UsageError, match="not by an attribute"):
        view(conditional, Attribute(0, 1))
    with pytest.raises(UsageError, match="has a GaussianMixture"):
        view(conditional, Manifold(label=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Traverse(image=20), "numbered from 0 to 19; got 20"),
        (Interpolate(images=(0, -1)), "numbered from 0 to 19; got -1"),
        (Traverse(label=1), "takes no label"),
        (Traverse(seed=2**24), "The seed must be"),
        (Attribute(0, 5), "a class from 0 to 2 or its name; got 5"),
        (Attribute("top", "botom"), "Unknown class 'botom'.* Did you mean 'bottom'"),
        (Manifold(), "latent_dim 2; this run has 4"),
    ],
)
def test_views_refuse_what_is_not_there(trained, options, message):
    with pytest.raises(UsageError, match=message):
        view(trained, options)


@pytest.mark.parametrize("latent_dim", [1, 4])
def test_charts_of_any_number_of_latents(untrained, tmp_path, latent_dim):
    trained = TrainedRun(untrained(tmp_path, latent_dim=latent_dim))
    drawn = [chart.func.__name__ for chart in views.charts_of(trained)]
    plane = ["draw_latents"] if latent_dim > 1 else []
    assert drawn == [*plane, "draw_relevance"]  # no history.csv, no curves


def test_one_image_is_in_no_plane(trained, tmp_path):
    test = ArraySplit(trained.images[:1], trained.source.test.labels[:1])
    charts = views.charts_of(TrainedRun.of(trained.vae, test))
    assert [chart.func.__name__ for chart in charts] == ["draw_relevance"]


def test_a_model_without_a_run_is_viewed_as_one(trained, tmp_path):
    test = ArraySplit(trained.images, trained.source.test.labels)
    of = TrainedRun.of(trained.vae, test, ["a", "b", "c"])
    for options in (Traverse(image=3, steps=3), Interpolate(seeds=(0, 2), steps=3)):
        table, expected = view(of, options), view(trained, options)
        np.testing.assert_array_equal(table.images, expected.images)
        assert table.rows == expected.rows
    expected.save(tmp_path / "table.png")
    saved = np.asarray(Image.open(tmp_path / "table.png"))
    np.testing.assert_array_equal(np.asarray(table.picture()), saved)
    assert of.class_name(1) == "b"
    assert [part.func.__name__ for part in views.charts_of(of)][:1] == ["draw_latents"]
