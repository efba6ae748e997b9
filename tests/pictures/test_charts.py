from functools import partial

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from keras_vae.pictures import charts
from keras_vae.pictures.grids import OURS


@pytest.fixture
def axes():
    return Figure().subplots()


def test_latents_are_drawn_and_named_by_class(axes):
    points = np.random.default_rng(0).normal(size=(30, 2))
    labels = np.arange(30) % 3 * 2  # classes 0, 2, 4
    names = ["zero", "one", "two", "three", "four"]
    charts.draw_latents(axes, points, labels, names, names=("z3", "z5"))
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), points)
    assert len(np.unique(axes.collections[0].get_facecolors(), axis=0)) == 3
    assert [text.get_text() for text in axes.texts] == ["zero", "two", "four"]
    assert axes.texts[1].xy == pytest.approx(np.median(points[labels == 2], axis=0))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z3", "z5")


def test_latents_without_classes_and_with_many(axes):
    points = np.random.default_rng(0).normal(size=(60, 2))
    charts.draw_latents(axes, points)
    assert not axes.texts and axes.get_legend() is None
    charts.draw_latents(axes, points, np.arange(60) % 30)
    assert len(axes.texts) == 30 and axes.get_legend() is None


def test_thousands_of_classes_are_colors_alone(axes):
    points = np.random.default_rng(0).normal(size=(9000, 2))
    charts.draw_latents(axes, points, np.arange(9000))  # names would need 650 MB each
    assert not axes.texts and axes.get_legend() is None
    assert len(np.unique(axes.collections[0].get_facecolors(), axis=0)) > 200


@pytest.mark.parametrize("count", [10, 30])
def test_long_names_stand_in_a_legend_that_is_seen_whole(axes, count):
    points = np.random.default_rng(0).normal(size=(60, 2))
    names = [f"animals_and_nature_{k}" for k in range(count)]
    charts.draw_latents(axes, points, np.arange(60) % count, names)
    assert [text.get_text() for text in axes.texts] == [str(k) for k in range(count)]
    figure = axes.figure
    figure.set_layout_engine("constrained")
    figure.draw_without_rendering()
    entries = axes.get_legend().get_texts()
    assert [text.get_text() for text in entries] == [
        f"{k}  {name}" for k, name in enumerate(names)
    ]
    boxes = [text.get_window_extent() for text in entries]
    assert all(box.x0 > axes.bbox.x1 and box.x1 < figure.bbox.x1 for box in boxes)
    assert all(0 < box.y0 and box.y1 < figure.bbox.y1 for box in boxes)
    assert axes.bbox.width > 0.3 * figure.bbox.width  # the plane keeps its room


def test_bars_are_ordered_and_inactive_ones_are_grey(axes):
    active = np.array([True, False, True])
    charts.draw_relevance(axes, np.array([0.5, 0.01, 2.0]), active)
    assert [bar.get_height() for bar in axes.patches] == [2.0, 0.5, 0.01]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["z2", "z0", "z1"]
    colors = [bar.get_facecolor() for bar in axes.patches]
    assert colors[0] == colors[1] != colors[2]
    assert axes.get_title() == "Latents: 2 of 3 active"


def test_many_latents_have_few_ticks(axes):
    values = np.random.default_rng(0).random(1408)
    charts.draw_relevance(axes, values, values > 0.5)
    axes.figure.draw_without_rendering()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert 3 <= len(labels) <= 12 and {"200", "1000"} <= set(labels)


@pytest.mark.parametrize("epochs", [1, 3])
def test_history_is_read_and_drawn(axes, tmp_path, epochs):
    rows = [f"{k + 1},0.5,{100 - k},{101 - k}" for k in range(epochs)]
    text = "\n".join(["epoch,seconds,loss,val_loss", *rows])
    (tmp_path / "history.csv").write_text(text + "\n")
    history = charts.read_history(tmp_path / "history.csv")
    charts.draw_history(axes, history)
    training, validation = axes.lines
    np.testing.assert_array_equal(training.get_xdata(), np.arange(epochs) + 1)
    np.testing.assert_array_equal(training.get_ydata(), 100 - np.arange(epochs))
    np.testing.assert_array_equal(validation.get_ydata(), 101 - np.arange(epochs))
    del history["val_loss"]  # a run without validation images
    charts.draw_history(axes, history)
    assert len(axes.lines) == 3


def test_charts_side_by_side_have_the_same_bytes_again(tmp_path):
    mean = np.random.default_rng(0).normal(size=(20, 2))
    drawn = [
        partial(charts.draw_latents, points=mean),
        partial(charts.draw_relevance, values=np.array([1.0, 2.0]), active=mean[0] > 0),
    ]
    for name in ("a.png", "b.png"):
        charts.save_charts(drawn, tmp_path / name, "Title")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1280, 560)
        assert picture.info["Software"] == OURS  # without the version of the library


def test_names_of_classes_do_not_cover_each_other():
    points = np.random.default_rng(0).normal(0, 0.3, (20, 2))
    points[3] = points[4]  # even where two classes have one middle
    moved = charts.apart(points, 0.2)
    distances = np.linalg.norm(moved[:, None] - moved, axis=-1) + np.eye(20)
    assert distances.min() > 0.19
    np.testing.assert_allclose(charts.apart(points * 100, 0.2), points * 100, atol=0.2)
