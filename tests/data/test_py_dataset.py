"""A `PyDataset` whose workers are still at it when its epoch ends."""

import time

import keras
import numpy as np

from keras_vae.data.batches import ImageSpec, batches_of

X = np.random.default_rng(0).integers(0, 256, (24, 6, 5, 1), np.uint8)


class Reshuffled(keras.utils.PyDataset):
    """As Keras's guide has it: the order is another after each epoch."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.order = np.arange(len(X))

    def __len__(self):
        return 12

    def __getitem__(self, number):
        time.sleep(0.01 * (number % 3))
        return X[self.order[2 * number : 2 * number + 2]]

    def on_epoch_end(self):
        self.order = np.random.default_rng(self.order[0]).permutation(len(X))


def test_an_epoch_ends_when_the_workers_are_through():
    found = batches_of(Reshuffled(workers=4), spec=ImageSpec((6, 5, 1)), batch_size=2)
    epochs = [images.numpy() for images, *_ in found.dataset(None).take(36)]
    for epoch in np.concatenate(epochs).reshape(3, 24, -1):
        # every image once: a mixture of two orders has some twice
        np.testing.assert_array_equal(
            np.unique(epoch, axis=0), np.unique(X.reshape(24, -1), axis=0)
        )
