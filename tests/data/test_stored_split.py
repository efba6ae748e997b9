"""Splits whose images are read when they are needed."""

import numpy as np
import pytest
from PIL import Image

from keras_vae.data.sources import load
from keras_vae.data.splits import ArraySplit, Split
from keras_vae.data.stored_split import StoredSplit
from keras_vae.errors import DataError

SHAPE = (6, 5, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty grey pictures of three classes."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in "abc":
        (folder / name).mkdir()
        for number in range(20):
            image = rng.integers(0, 256, SHAPE[:2], np.uint8)
            Image.fromarray(image).save(folder / name / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module", params=["files", "cache"])
def pair(request, folder, tmp_path_factory):
    """The same data set in memory, and streamed from its files or the cache."""
    options = {"validation_images": 10}
    if request.param == "cache":
        options["cache"] = tmp_path_factory.mktemp("cache")
    return load(folder, validation_images=10), load(folder, memory_budget=0, **options)


def test_streamed_splits_are_those_in_memory(pair):
    memory, streamed = pair
    assert isinstance(memory.train, ArraySplit)
    assert isinstance(streamed.train, StoredSplit)
    assert isinstance(streamed.train, Split)
    for name in ("train", "validation", "test"):
        one, other = getattr(memory, name), getattr(streamed, name)
        assert len(one) == len(other) and one.image_shape == other.image_shape
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.images, other.take(slice(None)).images)
        np.testing.assert_array_equal(one.mean_image(), other.mean_image())
        rows = np.array([3, 1, 3])
        np.testing.assert_array_equal(one.take(rows).images, other.take(rows).images)
        np.testing.assert_array_equal(one.take(rows).labels, other.take(rows).labels)
    assert memory.class_names == streamed.class_names


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"slice_steps": 3},
        {"seed": 3},
        {"seed": 3, "first_epoch": 2, "slice_steps": 4},
        {"seed": 3, "first_epoch": 1, "first_step": 2},
        {"seed": 3, "first_step": 5, "slice_steps": 2},
    ],
)
def test_streamed_batches_are_those_in_memory(pair, options):
    one, other = (source.train.batches(8, **options).take(9) for source in pair)
    assert one.element_spec == other.element_spec
    for mine, theirs in zip(one, other, strict=True):
        if "slice_steps" in options:
            assert int(mine[0]) == int(theirs[0])
            mine, theirs = mine[1], theirs[1]
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("binarization", ["grey", "dynamic"])
def test_a_model_trains_and_is_evaluated_alike(pair, binarization, small_vae):
    found = []
    for source in pair:
        vae = small_vae(SHAPE, num_classes=3, binarization=binarization)
        history = vae.fit(
            source.train,
            batch_size=8,
            epochs=2,
            validation_data=source.validation,
            verbose=0,
        ).history
        metrics = vae.evaluate(source.test, batch_size=4, verbose=0)
        pixels = vae.predict(source.test, verbose=0)
        found.append([*vae.get_weights(), *history.values(), metrics, pixels])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_too_large_for_the_budget_is_streamed_and_said_to_be(folder):
    pixels = 60 * 30 / 1e9
    assert isinstance(load(folder, memory_budget=pixels).train, ArraySplit)
    source = load(folder, memory_budget=0.99 * pixels)
    assert isinstance(source.train, StoredSplit)
    assert source.found.endswith(
        "1.8e-06 GB of pixels, more than the memory budget of 1.78e-06 GB: read from "
        "their files when they are needed."
    )


def test_a_file_that_breaks_is_found_before_the_training(folder, tmp_path):
    for path in folder.rglob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    cut = tmp_path / "07.png"
    cut.write_bytes(cut.read_bytes()[:50])
    with pytest.raises(DataError, match="07.png: cannot be decoded.*of 20 images 1 c"):
        load(tmp_path, memory_budget=0)
    source = load(tmp_path, memory_budget=0, skip_broken=True)
    assert len(source.train) + len(source.validation) + len(source.test) == 19


def test_a_file_that_breaks_later_ends_the_training_in_one_sentence(
    folder, tmp_path, small_vae
):
    for path in folder.rglob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    source = load(tmp_path, memory_budget=0)
    for path in tmp_path.iterdir():
        path.write_bytes(b"gone")
    with pytest.raises(DataError, match=r"^\S+\.png: no PNG, JPEG, WebP, BMP or GIF"):
        small_vae(SHAPE).fit(source.train, batch_size=8, verbose=0)
