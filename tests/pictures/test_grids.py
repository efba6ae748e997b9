import numpy as np
import pytest
from PIL import Image

from keras_vae.errors import DivergedError, OutputError
from keras_vae.pictures.charts import save_charts
from keras_vae.pictures.grids import (
    check_picture,
    image_grid,
    pair_grid,
    picture,
    save_gif,
    save_png,
    to_uint8,
)


def test_grid_places_images_in_rows():
    images = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 3, 4, 1), np.uint8
    )
    grid = image_grid(images, columns=2)
    assert grid.shape == (3 * 3 + 2 * 2, 2 * 4 + 2, 1)
    assert (grid[:3, :4] == 1).all() and (grid[:3, 6:] == 2).all()
    assert (grid[10:, :4] == 5).all()
    assert (grid[3:5] == 255).all() and (grid[10:, 6:] == 255).all()


def test_a_picture_is_the_png_that_would_be_written(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 3), np.uint8)
    save_png(image_grid(images, 2), tmp_path / "grid.png")
    saved = np.asarray(Image.open(tmp_path / "grid.png"))
    np.testing.assert_array_equal(np.asarray(picture(images, 2)), saved)


@pytest.mark.parametrize("kind", ["png", "gif", "chart"])
def test_a_picture_replaces_one_of_this_program_and_nothing_else(kind, tmp_path):
    path = tmp_path / ("a.gif" if kind == "gif" else "a.png")
    grid = np.zeros((4, 5, 1), np.uint8)
    save = {
        "png": lambda: save_png(grid, path),
        "gif": lambda: save_gif([grid, grid + 9, grid + 8], path),
        "chart": lambda: save_charts([lambda axes: axes.plot([1, 2])], path),
    }[kind]
    kinds = (".png", ".gif")
    check_picture(path, kinds)
    save()
    check_picture(path, kinds)
    Image.new("L", (5, 4)).save(path)  # as another program would
    for content in (path.read_bytes(), b"", b"\x89PNG keras_vae"):
        path.write_bytes(content)
        with pytest.raises(OutputError, match="exists, and is no picture of this"):
            check_picture(path, kinds)
        assert path.read_bytes() == content


def test_a_link_is_no_picture_of_ours(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="choose another --output"):
        check_picture(tmp_path / "a.png")


def test_pairs_stand_left_and_right():
    left, right = np.zeros((2, 3, 3, 3), np.uint8), np.ones((2, 3, 3, 3), np.float32)
    grid = pair_grid(left, right, columns=1)
    assert grid.shape == (8, 6, 3)
    assert (grid[:3, :3] == 0).all() and (grid[:3, 3:] == 255).all()


def test_float_pixels_become_the_nearest_grey_level():
    levels = np.arange(256, dtype=np.float32) / 255
    np.testing.assert_array_equal(to_uint8(levels), np.arange(256))
    np.testing.assert_array_equal(to_uint8(np.array([-1.0, 2.0])), [0, 255])


def test_a_pixel_that_is_no_number_is_an_error_not_black():
    with pytest.raises(DivergedError, match="A pixel of the model's images is nan"):
        image_grid(np.full((1, 3, 3, 1), np.nan, np.float32))


def test_a_grid_of_nothing_is_refused():
    with pytest.raises(ValueError, match="N >= 1; got"):
        image_grid(np.zeros((0, 3, 3, 1)))
    with pytest.raises(ValueError, match=r"got \(3, 3, 1\)"):
        image_grid(np.zeros((3, 3, 1)))


@pytest.mark.parametrize("channels", [1, 3])
def test_png_comes_back_enlarged(tmp_path, channels):
    array = np.random.default_rng(0).integers(0, 256, (5, 480, channels), np.uint8)
    save_png(array, tmp_path / "a.png")
    save_png(array, tmp_path / "b.png")
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture).reshape(10, 960, channels)
    np.testing.assert_array_equal(pixels[::2, ::2], array)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png"}


@pytest.mark.parametrize("channels", [1, 3])
def test_gif_goes_forth_and_back(tmp_path, channels):
    levels = [0, 40, 90, 250]
    frames = [np.full((4, 6, channels), level, np.uint8) for level in levels]
    save_gif(frames, tmp_path / "a.gif", seconds=0.05)
    save_gif(frames, tmp_path / "b.gif", seconds=0.05)
    with Image.open(tmp_path / "a.gif") as picture:
        assert (picture.n_frames, picture.size, picture.info["loop"]) == (6, (6, 4), 0)
        found = []
        for index in range(6):
            picture.seek(index)
            found.append(
                (picture.convert("L").getpixel((2, 2)), picture.info["duration"])
            )
    assert [level for level, _ in found] == [0, 40, 90, 250, 90, 40]
    assert [duration for _, duration in found] == [250, 50, 50, 250, 50, 50]
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def test_gif_of_one_frame(tmp_path):
    save_gif([np.zeros((4, 6, 1), np.uint8)], tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 1
