"""Binarization protocols: what a model of binary pixels sees of grey images.

Log-likelihoods under different protocols are never compared, so the protocol is named
in every metrics file.
"""

import numpy as np

EVALUATION_SEED = 2**31 - 1


def binarize(
    images: np.ndarray, seed: int = EVALUATION_SEED, *, first: int = 0
) -> np.ndarray:
    """Draws each pixel from Bernoulli(grey level), once.

    Salakhutdinov & Murray (2008) made binary MNIST so. The default seed is that of
    every evaluation: a test set is binarized once and for all.

    Args:
        images: (N, H, W, C), uint8, or float in [0, 1].
        seed: int, of the draws.
        first: int, the number of the first of these images in their split, whose draws
            come after those of the images before.

    Returns:
        uint8 (N, H, W, C), 0 or 255. Images that are binary come back as they were.

    Example:
        >>> np.unique(binarize(np.full((9, 4, 4, 1), 128, np.uint8))).tolist()
        [0, 255]
    """
    highest = 255 if images.dtype == np.uint8 else 1
    bits = np.random.PCG64(seed)
    draws = first * images[0].size  # two of them of each number of the generator
    bits.advance(draws // 2)
    generator = np.random.Generator(bits)
    generator.random(draws % 2, np.float32)
    binary = np.empty(images.shape, np.uint8)
    for image, target in zip(images, binary, strict=True):  # little memory
        uniform = generator.random(image.shape, np.float32)
        target[...] = np.where(uniform * highest < image, 255, 0)
    return binary


def pixel_levels(binarization: str) -> int:
    """How many values a pixel can have that a model under this protocol sees."""
    return 256 if binarization == "grey" else 2


BINARIZATIONS = {
    "grey": "grey levels in [0, 1] as they are",
    "dynamic": "drawn anew from the grey levels at every use; evaluation images once",
    "fixed": "a data set that is binary already",
}
