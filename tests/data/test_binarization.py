import numpy as np

from keras_vae.data.binarization import binarize


def test_binarize_is_a_pure_function_of_its_seed(images):
    x = images(50)
    np.testing.assert_array_equal(binarize(x), binarize(x))
    np.testing.assert_array_equal(binarize(binarize(x)), binarize(x))
    np.testing.assert_array_equal(binarize(x[:7]), binarize(x)[:7])
    # an odd number of draws an image, and any place to begin at
    odd = images(50, (5, 5, 1))
    for first in (1, 2, 33):
        for whole in (x, odd):
            part = binarize(whole[first:], first=first)
            np.testing.assert_array_equal(part, binarize(whole)[first:])
    assert (binarize(x, seed=1) != binarize(x, seed=2)).any()
    # the mean of 1,500 draws, 5 sigma
    error = abs(binarize(x).mean() - x.mean()) / 255
    assert error < 5 * np.sqrt(0.25 / x.size)
