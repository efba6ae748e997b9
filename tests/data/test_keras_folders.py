"""Folders as Keras reads them: `image_dataset_from_directory`, and a `PyDataset`."""

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vae.data.sources import load
from keras_vae.errors import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten pictures of two classes: red to the left, or below."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("below", "left"):
        (folder / name).mkdir()
        for number in range(5):
            image = np.zeros((6, 6, 3), np.uint8)
            image[3 if name == "below" else 0 :, : 6 if name == "below" else 3, 0] = 200
            image[..., 2] = 20 * number
            Image.fromarray(image).save(folder / name / f"{number}.png")
    return folder


def as_keras_reads(folder):
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(6, 6), batch_size=4, shuffle=False, verbose=False
    )


class Pictures(keras.utils.PyDataset):
    """A folder as Keras's guide has it: images decoded batch by batch."""

    def __init__(self, folder, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.paths, self.scale = sorted(folder.rglob("*.png")), scale

    def __len__(self):
        return 3

    def __getitem__(self, number):
        paths = self.paths[4 * number : 4 * number + 4]
        images = [keras.utils.img_to_array(keras.utils.load_img(p)) for p in paths]
        labels = [int(path.parent.name == "left") for path in paths]
        return np.stack(images) * np.float32(self.scale), np.array(labels)


@pytest.mark.parametrize("read", [as_keras_reads, Pictures])
def test_pixels_on_the_scale_of_255_are_refused_with_the_mend(read, folder, small_vae):
    vae = small_vae((6, 6, 3), num_classes=2)
    with pytest.raises(DataError, match=r"on the scale of 255.*map\(lambda x, \*y: "):
        vae.fit(read(folder), verbose=0)


def test_pictures_train_as_those_of_load_do(folder, small_vae):
    source = load(folder, validation_images=0)
    images = np.concatenate([source.train.images, source.test.images])
    labels = np.concatenate([source.train.labels, source.test.labels])
    order = np.lexsort((images[:, 0, 0, 2], labels))
    scaled = as_keras_reads(folder).map(lambda x, *y: (x / 255, *y))
    trained = []
    for data in (
        {"x": images[order], "y": labels[order], "batch_size": 4},
        {"x": scaled},
        {"x": Pictures(folder, 1 / 255)},
    ):
        vae = small_vae((6, 6, 3), num_classes=2)
        vae.fit(**data, epochs=2, shuffle=False, verbose=0)
        trained.append(vae.get_weights())
    for weights in trained[1:]:
        for one, other in zip(trained[0], weights, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
