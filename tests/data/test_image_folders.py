"""Folders of images, from their layout to the splits of `load`."""

import collections
import os

import numpy as np
import pytest
from PIL import Image

from keras_vae.data.sources import load
from keras_vae.errors import DataError, UsageError

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "pictures"


@pytest.fixture
def write(folder):
    """Writes images that carry a number in their first pixel, 0 to 255."""
    numbers = iter(range(256))

    def write(place, number=1, shape=(8, 6), ending=".png"):
        (folder / place).mkdir(parents=True, exist_ok=True)
        written = []
        for _ in range(number):
            value = next(numbers)
            image = RNG.integers(0, 256, shape, np.uint8)
            image[0, 0] = value
            path = folder / place / f"{value:03d}{ending}"
            Image.fromarray(image).save(path)
            written.append(value)
        return written

    return write


def numbers(split):
    return split.images[:, 0, 0, 0].tolist()


def splits(source):
    return source.train, source.validation, source.test


# --- layouts ------------------------------------------------------------------------


def test_a_flat_folder_is_divided(write, folder):
    written = write(".", 30)
    source = load(folder)
    assert source.name == "pictures" and source.image_shape == (8, 6, 1)
    assert [len(split) for split in splits(source)] == [25, 2, 3]
    assert sorted(sum(map(numbers, splits(source)), [])) == written
    assert source.train.labels is None and source.class_names is None
    assert source.train.images.dtype == np.uint8
    np.testing.assert_array_equal(
        source.test.images[0, ..., 0],
        np.asarray(Image.open(folder / f"{numbers(source.test)[0]:03d}.png")),
    )
    assert source.found == "No classes. Files of 8x6 pixels."


def test_subfolders_are_classes_in_the_order_of_their_names(write, folder):
    written = {"dog": write("dog", 20), "cat": write("cat", 12)}
    written["cat"] += write("cat/more/still", 8)
    write("eel", 10)
    source = load(folder)
    assert source.class_names == ("cat", "dog", "eel") and source.num_classes == 3
    assert np.bincount(source.test.labels).tolist() == [2, 2, 1]
    for split in splits(source):
        for number, label in zip(numbers(split), split.labels, strict=True):
            name = source.class_names[label]
            assert name == "eel" or number in written[name]
    assert source.found.startswith("3 classes: cat 20, dog 20, eel 10. Files")


@pytest.mark.parametrize(
    "names",
    [
        ("train", "validation", "test"),
        ("train", "val", "test"),
        ("Train", "Valid", "Test"),
        ("Training", "VAL", "Testing"),
    ],
)
def test_subfolders_can_be_the_splits(write, folder, names):
    sizes = zip(names, (9, 3, 4), strict=True)
    written = [write(name, number) for name, number in sizes]
    source = load(folder)
    assert [numbers(split) for split in splits(source)] == written
    assert source.num_classes is None


def test_splits_can_have_classes(write, folder):
    for split in ("train", "test"):
        for name in ("b", "a") if split == "train" else ("b",):
            write(f"{split}/{name}", 5)
    source = load(folder, validation_images=0)
    assert source.train.labels.tolist() == [0] * 5 + [1] * 5
    assert source.test.labels.tolist() == [1] * 5 and source.num_classes == 2


def test_the_splits_are_those_of_the_same_images_in_an_array(write, folder, save):
    for name in "abc":
        write(name, 20)
    images = [np.asarray(Image.open(path)) for path in sorted(folder.rglob("*.png"))]
    path = save(images=np.stack(images), labels=np.repeat([0, 1, 2], 20))
    for seed in (0, 7):
        one, other = load(folder, seed=seed), load(path, seed=seed)
        for mine, theirs in zip(splits(one), splits(other), strict=True):
            np.testing.assert_array_equal(mine.images, theirs.images)
            np.testing.assert_array_equal(mine.labels, theirs.labels)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (["train/a", "train"], "lies beside the folders of the classes"),
        (["a", "."], r"pictures/\d+.png: lies beside the folders of the classes"),
        (["train", "cats"], "cats: lies beside the folder train; expected nothing"),
        (["train", "val", "valid"], "valid: lies beside the folder train"),
        (["train", "."], "lies beside the folder train"),
        (["test", "val"], "has images in test, but none in train"),
        (["train/a", "test"], "lie in folders of classes, the test images do not"),
        (["train", "test/a"], "the test images lie in folders of classes, the train"),
        (["train/a", "test/b"], "test images of the class b, but none to train on"),
        (["set/Train", "set/Test"], "splits one folder deeper; pass .*pictures/set"),
        (["set/train", "set/test"], "splits one folder deeper; pass .*pictures/set"),
        (["a\nb", "c"], r"the folder 'a\\nb' cannot be the name of a class"),
    ],
)
def test_a_layout_that_is_none_is_refused(places, message, write, folder):
    for place in places:
        write(place, 2)
    with pytest.raises(DataError, match=message):
        load(folder)


def test_numbers_of_numpy_are_numbers(write, folder, tmp_path):
    write(".", 20)
    numbers = {"image_size": np.int64(4), "channels": np.int64(1)}
    sources = [
        load(folder, cache=tmp_path / "cache", memory_budget=0, **numbers),
        load(folder, image_size=4, channels=1),
    ]
    mine, theirs = (each.train.take(slice(None)).images for each in sources)
    np.testing.assert_array_equal(mine, theirs)


def test_hidden_folders_are_no_classes(write, folder):
    written = write("a", 5)
    write(".thumbnails", 3)
    write("a/.ipynb_checkpoints", 2)
    write("b", 5)
    source = load(folder, validation_images=0)
    assert source.class_names == ("a", "b")
    assert len(source.train) + len(source.test) == 2 * len(written)


def test_a_class_of_one_image_is_said_to_be_one(write, folder):
    write("a", 20)
    write("b", 1)
    source = load(folder)
    assert "A single image, in one split alone: b." in source.found
    assert sum(np.bincount(s.labels, minlength=2)[1] for s in splits(source)) == 1


def test_many_classes_are_counted_not_named(write, folder):
    for number in range(20):
        write(f"{number:02d}", 2)
    assert load(folder).found.startswith("20 classes of 2 to 2 images. Files")


# --- files --------------------------------------------------------------------------


def test_what_is_no_image_is_counted(write, folder):
    write(".", 9)
    write("..", 1)
    for name in ("README.txt", "Thumbs.db", ".DS_Store", "._000.png", "LICENSE"):
        (folder / name).write_bytes(b"x")
    (folder / "empty").mkdir()
    source = load(folder)
    assert sum(map(len, filter(None, splits(source)))) == 9
    assert source.found.endswith("5 other files (.db, .png, .txt, no ending).")


def test_an_empty_folder_is_refused(folder):
    folder.mkdir()
    for name in ("one", "two"):
        (folder / name).mkdir()
    (folder / "note.txt").write_text("x")
    with pytest.raises(DataError, match="pictures: no images; expected files that end"):
        load(folder)


def test_a_single_image_is_refused(write, folder):
    write(".", 1)
    with pytest.raises(DataError, match="a single image; expected at least 2"):
        load(folder)


def broken(folder):
    """Files that cannot be used, and a word of what is said of each."""
    image = (folder / "000.png").read_bytes()
    (folder / "cut.png").write_bytes(image[: len(image) // 2])
    (folder / "text.png").write_text("hello")
    (folder / "nothing.jpg").touch()
    outside = folder.parent / "outside.png"
    outside.write_bytes(image)
    (folder / "link.png").symlink_to(outside)
    (folder / "nowhere.png").symlink_to(folder / "gone")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()  # a folder like any other
    return {
        "cut.png": "truncated",
        "text.png": "no PNG, JPEG, WebP, BMP or GIF image",
        "nothing.jpg": "no PNG, JPEG, WebP, BMP or GIF image",
        "link.png": "a link that leads out of the folder",
        "nowhere.png": "not a regular file",
        "loop": "a link to a folder",
        "pipe.png": "not a regular file",
    }


def test_broken_files_are_refused_with_the_first_and_their_number(write, folder):
    write(".", 20)
    (folder / "inside.png").symlink_to("000.png")  # a link that stays inside will do
    broken(folder)
    with pytest.raises(DataError) as raised:
        load(folder)
    error = str(raised.value)
    assert "cut.png: cannot be decoded: " in error and "\n" not in error
    assert "; of 28 images 7 cannot be used: remove them, or pass --skip" in error
    assert len(error) < 300 + len(str(folder))


def test_each_broken_file_is_named_for_what_it_is(write, folder):
    write(".", 20)
    words = broken(folder)
    for name, word in words.items():
        others = [folder / other for other in words if other != name]
        moved = [path.rename(folder.parent / path.name) for path in others]
        with pytest.raises(DataError, match=f"{name}: .*{word}.*of 21 images 1 can"):
            load(folder)
        for path, back in zip(moved, others, strict=True):
            path.rename(back)


def test_broken_files_can_be_left_out(write, folder):
    written = write(".", 30)
    expected = [numbers(split) for split in splits(load(folder))]
    broken(folder)
    source = load(folder, skip_broken=True)
    # the same splits as if they had never been there
    assert [numbers(split) for split in splits(source)] == expected
    assert sorted(sum(expected, [])) == written
    assert (
        "7 broken, left out: cut.png, link.png, loop, nothing.jpg, nowhere.png, "
        "pipe.png, text.png." in source.found
    )


def test_nothing_but_broken_files(folder):
    folder.mkdir()
    (folder / "text.png").write_text("hello")
    with pytest.raises(DataError, match="none of its 1 images can be read"):
        load(folder, skip_broken=True)


def test_an_image_that_breaks_after_its_header_is_found_while_it_loads(write, folder):
    write(".", 20)
    path = folder / "007.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="007.png: cannot be decoded.*of 20 images 1 c"):
        load(folder)


# --- sizes and channels -------------------------------------------------------------


def test_mixed_sizes_need_a_size(write, folder):
    write("a", 5)
    write("b", 5, (6, 8))
    message = r"a/000.png has 8x6 pixels and .*b/005.png 6x8; pass --image-size"
    with pytest.raises(DataError, match=message):
        load(folder)
    source = load(folder, image_size=4)
    assert source.image_shape == (4, 4, 1)
    assert "Files of 6x8 to 8x6 pixels, brought to 4x4 (crop)." in source.found
    source = load(folder, image_size=(5, 7), resize="stretch")
    assert source.image_shape == (5, 7, 1) and "5x7 (stretch)" in source.found


def test_channels_are_as_many_as_the_images_need(write, folder):
    write("grey", 5)
    assert load(folder).image_shape == (8, 6, 1)
    source = load(folder, channels=3)
    assert source.image_shape == (8, 6, 3)
    assert "Files of 8x6 pixels; 5 grey (as color)." in source.found
    write("color", 5, (8, 6, 3))
    source = load(folder)
    assert source.image_shape == (8, 6, 3) and "5 grey (as color)" in source.found
    source = load(folder, channels=1)
    assert source.image_shape == (8, 6, 1) and "5 color (as grey)" in source.found


def test_what_is_converted_is_said(write, folder):
    write(".", 3, (8, 6, 4), ".webp")
    write(".", 3, (8, 6, 4))
    image = Image.fromarray(RNG.integers(0, 256, (8, 6, 4), np.uint8))
    image.convert("P").save(folder / "palette.gif")
    exif = Image.Exif()
    exif[274] = 8
    image.convert("RGB").rotate(90, expand=True).save(folder / "held.jpg", exif=exif)
    found = load(folder, background="black").found
    counts = collections.Counter(found.split("; ")[1].rstrip(".").split(", "))
    assert "6 transparent (over black)" in counts
    assert {"1 palette", "1 rotated"} <= set(counts)


def test_options_of_images_are_for_folders_of_images(save, write, folder):
    path = save(images=np.zeros((10, 4, 4), np.uint8))
    for name in ("digits", path):
        with pytest.raises(UsageError, match="image_size is for a folder of images; "):
            load(name, image_size=8)
        with pytest.raises(UsageError, match="background is for a folder of images; "):
            load(name, background="black")
    write(".", 9)
    with pytest.raises(TypeError, match="colour"):
        load(folder, colour="red")
