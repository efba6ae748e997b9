"""Made images with known factors, after dSprites: a shape, its size, turn and place.

Matthey et al. (2017), "dSprites: Disentanglement testing Sprites dataset": one white
shape on black, one image for each combination of five independent factors. Here the
edges are smooth and the grid is smaller, so that it is made in a second rather than
downloaded, and 32x32, which the classic network takes in a quarter of the time of
64x64. The shapes turn by less than a right angle, for after one a square looks the
same: so every image has factors of its own.
"""

import numpy as np

from keras_vae.data.images import RawSource
from keras_vae.data.splits import ArraySplit

SIZE = 32  # pixels
FINER = 8  # sub-pixels in a pixel, each way: the edges have 65 levels
RADIUS = 7.0  # pixels, of the largest shape
STEP = 12  # sub-pixels from one position to the next
SHAPES = ("square", "ellipse", "heart")
# factor -> how many values it has
FACTORS = {"shape": len(SHAPES), "scale": 6, "rotation": 8, "x": 12, "y": 12}


def sprites(name: str) -> RawSource:
    """20,736 made images of 32x32, a shape each, with known factors, after dSprites."""
    factors = np.indices(tuple(FACTORS.values())).reshape(len(FACTORS), -1).T  # (N, 5)
    # shuffled, so that the first ones are like all; raw PCG64 never changes (NEP 19)
    factors = factors[np.argsort(np.random.PCG64(0).random_raw(len(factors)))]
    test, train = np.split(factors, [len(factors) // 4])
    splits = {
        split: ArraySplit(render(rows), rows[:, 0].copy(), factors=rows)
        for split, rows in (("train", train), ("test", test))
    }
    return RawSource(
        name,
        "Made images of a square, an ellipse or a heart, after dSprites",
        splits,
        SHAPES,
        factor_names=tuple(FACTORS),
    )


def render(factors: np.ndarray) -> np.ndarray:
    """Draws sprites, each pixel as white as the part of it that the shape covers.

    Args:
        factors: int (N, 5), the numbers of shape, scale (from 0.5 to 1), rotation
            (counterclockwise, from 0 to less than a right angle), x and y (from left
            and top), each from 0 and below its entry in `FACTORS`.

    Returns:
        uint8 (N, 32, 32, 1).

    Example:
        >>> render(np.array([[0, 5, 0, 6, 6]])).shape
        (1, 32, 32, 1)
    """
    kinds, which = np.unique(factors[:, :3], axis=0, return_inverse=True)
    whites = np.stack([_white(*kind) for kind in kinds])  # (K, rows, columns)
    pixels = FINER * np.arange(SIZE)
    x, y = ((FACTORS[a] - 1 - factors[:, k]) * STEP for k, a in ((3, "x"), (4, "y")))
    rows, columns = y[:, None] + pixels, x[:, None] + pixels  # (N, 32)
    images = whites[which[:, None, None], rows[:, :, None], columns[:, None, :]]
    return images[..., None]


def _white(shape, scale, rotation):
    """A shape's white in a pixel whose corner is at each sub-pixel of a canvas.

    The canvas is so large that a window in it shows the shape at any position.
    """
    most = FACTORS["x"] - 1
    middle = (FINER * SIZE + STEP * most) / 2
    points = np.arange(2 * int(middle)) + 0.5 - middle
    radius = FINER * RADIUS * (0.5 + 0.5 * scale / (FACTORS["scale"] - 1))
    v, u = np.meshgrid(-points / radius, points / radius, indexing="ij")  # v is up
    angle = np.pi / 2 * rotation / FACTORS["rotation"]
    u, v = (
        np.cos(angle) * u + np.sin(angle) * v,
        np.cos(angle) * v - np.sin(angle) * u,
    )
    inside = _inside(SHAPES[shape], u, v)
    sums = np.pad(inside, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    sums = sums[FINER:] - sums[:-FINER]
    sums = sums[:, FINER:] - sums[:, :-FINER]  # of 8x8 sub-pixels
    return np.rint(255 * sums / FINER**2).astype(np.uint8)


def _inside(shape, u, v):
    """Whether points lie in a shape within the unit circle; any equal arrays."""
    if shape == "square":
        return np.maximum(abs(u), abs(v)) <= 0.7
    if shape == "ellipse":
        return u**2 + (2 * v) ** 2 <= 1
    u, v = 1.26 * u, 1.26 * v + 0.25  # the heart's least circle
    return (u**2 + v**2 - 1) ** 3 <= u**2 * v**3
