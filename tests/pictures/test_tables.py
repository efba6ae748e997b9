import numpy as np
import pytest
from PIL import Image

from keras_vae.pictures.grids import image_grid, to_uint8
from keras_vae.pictures.tables import Table, labeled_grid


@pytest.mark.parametrize("channels", [1, 3])
def test_labeled_grid_holds_the_images_between_labels(channels):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 3, 28, 28, channels), np.uint8)
    bare = labeled_grid(images)
    body = image_grid(images.reshape(-1, 28, 28, channels), columns=3)
    body = body.repeat(4, axis=0).repeat(4, axis=1)  # images of 112 pixels
    np.testing.assert_array_equal(bare[12:-12, 12:-12], body)
    full = labeled_grid(
        images, rows=["a", "long name"], columns=list("abc"), title="t", caption="c"
    )
    top = 12 + 2 * 22
    np.testing.assert_array_equal(
        full[top : top + body.shape[0], -12 - body.shape[1] : -12], body
    )
    assert (full[0] == 255).all() and (full[-1] == 255).all()  # margins
    assert (full[:, 0] == 255).all() and (full[:, -1] == 255).all()
    for part in (full[:34], full[34:top], full[-34:], full[top:-34, :80]):
        assert (part < 128).any()  # something is written


def test_labeled_grid_is_as_wide_as_its_title():
    images = np.zeros((1, 1, 28, 28, 1))
    short, long = (
        labeled_grid(images, title=title) for title in ("t", 30 * "a long title ")
    )
    assert short.shape[1] == 12 * 28 + 24 < 1000 < long.shape[1]
    assert (long[:, -5:] == 255).all()


def test_table_becomes_a_picture_or_an_animation(tmp_path):
    images = np.random.default_rng(0).random((2, 4, 5, 5, 1))
    first = np.zeros((2, 5, 5, 1), np.uint8)
    table = Table(
        images, ["a", "b"], list("wxyz"), "Title", "caption", before=("input", first)
    )
    table.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        found = np.asarray(picture)[..., None]
    together = np.concatenate([first[:, None], to_uint8(images)], axis=1)
    expected = labeled_grid(
        together,
        rows=["a", "b"],
        columns=["input", *"wxyz"],
        title="Title",
        caption="caption",
    )
    np.testing.assert_array_equal(found, expected)
    table.save(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 6
