"""Images and labels that no training can use, and some that look so."""

import numpy as np

from tests.faults.array_bytes import IMAGES, LABELS
from tests.faults.cases import Case, arrays, right


def pixels(what, change, *words):
    """A case of one image, the twelfth, that cannot be used."""
    images = (IMAGES / 255).astype("f4")
    images[11, 2, 3] = change
    return Case(what, arrays(images=images), 3, ("image 11", *words))


def labeled(what, labels, *words):
    return Case(what, arrays(images=IMAGES, labels=labels), 3, words)


VALUES = [
    pixels("NaN", np.nan, "nan"),
    pixels("infinity", np.inf, "inf"),
    pixels("minus infinity", -np.inf, "-inf"),
    pixels("below 0", -0.25, "-0.25"),
    pixels("beyond 255", 256, "256.0"),
    Case("0..2", arrays(images=IMAGES / 127), 3, ("image 0 holds fractions",)),
    Case("-1..1", arrays(images=IMAGES / 127.5 - 1), 3, ("image 0 holds -",)),
    Case(
        "integers 0..256",
        arrays(images=IMAGES.astype(int) + 1),
        3,
        ("256",),
    ),
    Case("integers 0..1", arrays(images=IMAGES // 128), 3, ("is 1", "booleans")),
    Case("no images", arrays(images=IMAGES[:0]), 3, ("no pixels",)),
    Case("one image", arrays(images=IMAGES[:1]), 3, ("a single image", "at least 2")),
    Case("a flat array", arrays(images=IMAGES.ravel()), 3, ("shape (600,)",)),
    Case("five axes", arrays(images=IMAGES[None, None]), 3, ("(1, 1, 20, 6, 5)",)),
    Case(
        "channels first", arrays(images=np.zeros((9, 3, 32, 32))), 3, ("channels last",)
    ),
    labeled("too few labels", LABELS[1:], "19 labels for 20 images"),
    labeled("too many labels", np.append(LABELS, 0), "21 labels for 20 images"),
    labeled("a negative label", LABELS.astype(int) - 1, "image 0 is -1"),
    labeled("a fractional label", LABELS + 0.5, "image 0 is 0.5"),
    labeled("a label of NaN", np.where(LABELS == 1, np.nan, 0), "image 1 is nan"),
    labeled("a label of 2**16", np.where(LABELS == 2, 2**16, 0), "image 2 is 65536"),
    labeled("one-hot labels", np.eye(3)[LABELS], "shape (20, 3)"),
    labeled("words as labels", LABELS.astype(str), "values of type <U3"),
    Case(
        "test images of another scale",
        arrays(x_train=IMAGES, x_test=IMAGES / 255),
        3,
        ("differ", "scale"),
    ),
    Case(
        "labels for the test images alone",
        arrays(x_train=IMAGES, x_test=IMAGES, y_test=LABELS),
        3,
        ("differ", "labels"),
    ),
    right("two images", arrays(images=IMAGES[:2]), IMAGES[:2]),
    right(
        "one color",
        arrays(images=np.full((4, 6, 5), 7, np.uint8)),
        np.full((4, 6, 5), 7),
    ),
]
