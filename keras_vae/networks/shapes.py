"""Shapes of images, and of what networks make of them; free of TensorFlow."""

import math
from collections.abc import Sequence

from keras_vae.errors import UsageError, shown, whole_number

COARSEST = 4  # pixels, about, along a side of the last map
FINEST = 16  # places at most along a side of a map of latents
NARROWEST, WIDEST = 16, 256  # channels


def default_widths(image_shape: Sequence[int]) -> tuple[int, ...]:
    """Widths of a convolutional network that end in a map of about 4x4.

    Each halves the resolution. The first is 16, each further one twice as wide, up to
    256, so that each resolution costs about the same.

    Args:
        image_shape: (H, W, C).

    Returns:
        At least one width.

    Example:
        >>> default_widths((28, 28, 1)), default_widths((128, 128, 3))
        ((16, 32, 64), (16, 32, 64, 128, 256))
    """
    depth = max(1, round(math.log2(max(image_shape[:2]) / COARSEST)))
    return tuple(min(NARROWEST * 2**k, WIDEST) for k in range(depth))


def default_ladder(image_shape: Sequence[int]) -> tuple[int, ...]:
    """Widths of a ladder: twice those of other networks, up to 128.

    Args:
        image_shape: (H, W, C).

    Example:
        >>> default_ladder((32, 32, 3)), default_ladder((64, 64, 3))
        ((32, 64, 128), (32, 64, 128, 128))
    """
    return tuple(min(2 * width, 128) for width in default_widths(image_shape))


def halved(image_shape: Sequence[int], hidden: Sequence[int]) -> list[tuple[int, int]]:
    """The sizes of an image that is halved once for each width, rounded up.

    Args:
        image_shape: (H, W, C).
        hidden: Widths of a convolutional network.

    Returns:
        Pairs (H, W), one more than widths; the first is the image's.

    Raises:
        UsageError: If there is no width, or a single pixel would be halved.

    Example:
        >>> halved((50, 70, 3), (16, 32, 64))
        [(50, 70), (25, 35), (13, 18), (7, 9)]
    """
    height, width, _ = image_shape
    sizes = [
        (math.ceil(height / 2**k), math.ceil(width / 2**k))
        for k in range(len(hidden) + 1)
    ]
    if not hidden or sizes[-2] == (1, 1):
        most = math.ceil(math.log2(max(height, width)))
        if most == 0:
            raise UsageError(
                "A convolutional network halves the image, and a single pixel cannot "
                "be halved; choose --network mlp."
            )
        raise UsageError(
            "A convolutional network halves the image once for each width in hidden; "
            f"{height}x{width} can be halved 1 to {most} times. Got hidden="
            f"{shown(tuple(hidden))}."
        )
    return sizes


def halvings_of_levels(
    image_shape: Sequence[int], hidden: Sequence[int], num_levels: int
) -> list[int]:
    """How often the image is halved for each level's map of latents, from the top on.

    The levels are spread over the maps of at most 16x16 places, from the coarsest on,
    which has more of them where they do not divide evenly.

    Args:
        image_shape: (H, W, C).
        hidden: Widths of a convolutional network.
        num_levels: int >= 2.

    Returns:
        int, from 1 to the number of widths, for each level.

    Raises:
        UsageError: If `num_levels` or `hidden` is not usable.

    Example:
        >>> halvings_of_levels((32, 32, 3), (16, 32, 64), 4)
        [3, 3, 2, 1]
    """
    num_levels = whole_number("num_levels", num_levels, minimum=2)
    sizes = halved(image_shape, hidden)
    maps = [k for k in range(1, len(sizes)) if max(sizes[k]) <= FINEST]
    maps = maps[::-1] or [len(hidden)]
    return [maps[level * len(maps) // num_levels] for level in range(num_levels)]


def ladder_widths(
    image_shape: Sequence[int],
    hidden: Sequence[int],
    num_levels: int,
    latent_channels: int,
) -> tuple[int, ...]:
    """The widths of a ladder's flat levels, from the top on.

    Args:
        image_shape: (H, W, C).
        hidden: Widths of the network.
        num_levels: int >= 2.
        latent_channels: int >= 1, latents at each place of a map.

    Raises:
        UsageError: If a number or `hidden` is not usable.

    Example:
        >>> ladder_widths((32, 32, 3), (16, 32, 64), 3, 4)
        (64, 256, 1024)
    """
    latent_channels = whole_number("latent_channels", latent_channels)
    sizes = halved(image_shape, hidden)
    halvings = halvings_of_levels(image_shape, hidden, num_levels)
    return tuple(math.prod(sizes[k]) * latent_channels for k in halvings)


def check_shape(image_shape: Sequence[int]) -> tuple[int, int, int]:
    """(H, W, C) of whole numbers, or a `UsageError`."""
    if len(image_shape) != 3:
        raise UsageError(
            f"image_shape must be (height, width, channels). Got {image_shape!r}."
        )
    height, width, channels = (
        whole_number("each size in image_shape", size) for size in image_shape
    )
    return height, width, channels


def check_widths(hidden: Sequence[int]) -> tuple[int, ...]:
    """Widths >= 1, or a `UsageError`."""
    return tuple(whole_number("each width in hidden", width) for width in hidden)
