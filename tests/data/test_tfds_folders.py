"""A version of a TFDS data set on disk, by the path of its folder."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_vae.data.sources import load
from keras_vae.errors import DataError, UsageError

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 6, 3), np.uint8)
LABELS = np.arange(50) % 3
CLASSES = ["cat", "dog", "eel"]


@pytest.fixture(params=["tfrecord", "array_record"])
def version(request, tmp_path):
    """The folder of a data set that TFDS has written."""

    def part(rows):
        pairs = zip(IMAGES[rows], LABELS[rows], strict=True)
        return [(n, {"image": x, "label": y}) for n, (x, y) in enumerate(pairs)]

    tfds.disable_progress_bar()
    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny",
        version="1.2.3",
        data_dir=tmp_path / "tfds",
        file_format=request.param,
        disable_shuffling=True,
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(8, 6, 3)),
                "label": tfds.features.ClassLabel(names=CLASSES),
            }
        ),
        split_datasets={"train": part(slice(40)), "test": part(slice(40, None))},
    )
    return builder.data_path


def test_a_version_is_read_whole(version):
    source = load(version, validation_images=0)
    assert source.name == "tfds:tiny/1.2.3"
    assert source.class_names == tuple(CLASSES) and source.image_shape == (8, 6, 3)
    np.testing.assert_array_equal(source.train.images, IMAGES[:40])
    np.testing.assert_array_equal(source.train.labels, LABELS[:40])
    np.testing.assert_array_equal(source.test.images, IMAGES[40:])
    np.testing.assert_array_equal(source.test.labels, LABELS[40:])
    assert str(version) in source.provenance


def test_damaged_files_are_refused(version):
    (path,) = version.glob("tiny-test*")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"tiny/1.2.3\[test\]: cannot be read from"):
        load(version)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "no JSON", '{"name": 3}'])
def test_a_damaged_description_is_refused(text, version):
    (version / "dataset_info.json").write_text(text)
    with pytest.raises(DataError) as raised:
        load(version)
    assert "\n" not in str(raised.value) and str(version) in str(raised.value)


def test_options_of_image_files_do_not_apply(version):
    with pytest.raises(UsageError, match="image_size is for a folder of images"):
        load(version, image_size=4)


def test_a_version_without_a_training_split_is_refused(version):
    path = version / "dataset_info.json"
    info = json.loads(path.read_text())
    for split in info["splits"]:
        split["name"] += "ing"
    path.write_text(json.dumps(info))
    with pytest.raises(DataError, match="has the splits .*; expected one"):
        load(version)
