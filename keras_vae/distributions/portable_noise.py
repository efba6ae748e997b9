"""Seeded noise whose bits are the same in every runtime.

A counter-based generator: the noise of image `i`, latent `j` under a seed is a pure
function of (seed, i, j), so image `k` never depends on how many images are asked for.
It is a Feistel network over four 12-bit words in the manner of Philox (Salmon et al.
2011, "Parallel random numbers: as easy as 1, 2, 3"). Every intermediate value is an
integer below 2**24 held in float32 and only multiplied, added, subtracted and floored:
each of these is exact in IEEE float32, with or without fused multiply-add. Normal
numbers are then looked up in a table of 2**14 quantiles, because a logarithm or a
cosine has other last bits in other libraries.

Seeds lie in [0, 2**24); a stream ends after 2**24 images of 4,096 latents. Moments,
Kolmogorov-Smirnov, chi-square and avalanche tests pass with 16 rounds (12 rounds still
show bias). It is a generator for sampling pictures: it is not cryptographic.
"""

import functools
import statistics

import numpy as np

from keras_vae.errors import UsageError, number

MAX_SEED = 2**24
MAX_IMAGES = 2**24
MAX_LATENT_DIM = 4096
MAX_TEMPERATURE = 10.0
ROUNDS = 16
TABLE_BITS = 14
# 2521 * 4095 and 3307 * 4095 stay below 2**24, so products of words are exact.
WORD, M0, M1, K0, K1 = 4096.0, 2521.0, 3307.0, 1597.0, 2971.0


def check_seed(seed: int) -> int:
    """Returns `seed` if the generator can tell it from its neighbors.

    Args:
        seed: whole number in [0, 2**24); larger ones would be rounded to float32.

    Returns:
        int, the same seed.

    Raises:
        UsageError: if it is not a whole number or lies outside [0, 2**24).
    """
    if int(seed) != seed or not 0 <= seed < MAX_SEED:
        raise UsageError(
            f"The seed must be a whole number in [0, {MAX_SEED}), got {seed!r}."
        )
    return int(seed)


def check_temperature(temperature: float) -> float:
    """Returns what the normal noise is multiplied by, if it is in [0, 10].

    Args:
        temperature: 1 for draws of the prior; below it for likelier ones.

    Raises:
        UsageError: if it is not a number in that range.
    """
    return number("temperature", temperature, maximum=MAX_TEMPERATURE)


@functools.cache
def quantiles() -> np.ndarray:
    """Standard normal quantiles at the midpoints of 2**14 equally likely bins.

    Returns:
        float32 (2**14,), ascending, antisymmetric, from -4.01 to 4.01; read-only.
    """
    size = 2**TABLE_BITS
    inverse = statistics.NormalDist().inv_cdf
    # The midpoints and their complements are exact in binary: one half is enough.
    upper = [inverse((k + 0.5) / size) for k in range(size // 2, size)]
    upper = np.array(upper, np.float32)
    table = np.concatenate([-upper[::-1], upper])
    table.flags.writeable = False
    return table


def words(seed, image, latent, xp=np):
    """Four pseudo-random 12-bit words for each (seed, image, latent).

    Args:
        seed: float32, whole, in [0, 2**24).
        image: float32, whole, in [0, 2**24); broadcasts with `latent`.
        latent: float32, whole, in [0, 4096).
        xp: namespace with `floor`: `numpy` or `tensorflow`.

    Returns:
        four float32 arrays of the broadcast shape, whole, in [0, 4096).
    """
    word, inverse = np.float32(WORD), np.float32(1 / WORD)

    def split(product):  # 24 bits -> high word, low word
        high = xp.floor(product * inverse)
        return high, product - high * word

    def wrap(total):  # sum of words modulo 4096
        return total - xp.floor(total * inverse) * word

    k1, k0 = split(seed)
    high, low = split(image)
    zero = low * np.float32(0) + latent * np.float32(0)  # broadcast shape
    x0, x1, x2, x3 = low + zero, high + zero, latent + zero, zero
    for r in range(ROUNDS):
        high0, low0 = split(x0 * np.float32(M0))
        high1, low1 = split(x2 * np.float32(M1))
        key0, key1 = k0 + np.float32(r * K0), k1 + np.float32(r * K1)  # below 2**16
        x0, x1, x2, x3 = wrap(high1 + x1 + key0), low1, wrap(high0 + x3 + key1), low0
    return x0, x1, x2, x3


def noise(seed, num_images, latent_dim: int, *, first_image=0, xp=np):
    """Standard normal and uniform numbers for a batch of images.

    Two words choose the normal quantile; the other two, at latent 0, make the
    uniform number that mixture priors choose their component with.

    Args:
        seed: int or integer tensor, in [0, 2**24).
        num_images: int or integer tensor N, at most 2**24.
        latent_dim: int D, at most 4,096.
        first_image: int or integer tensor; the batch holds the images that start here.
        xp: `numpy`, or `tensorflow` to build the same numbers in a graph.

    Returns:
        normal, float32 (N, D), and uniform, float32 (N,), in [0, 1).

    Raises:
        UsageError: if `latent_dim`, or an int `seed` or `num_images`, is out of range.

    Example:
        >>> normal, uniform = noise(seed=7, num_images=3, latent_dim=2)
        >>> normal.shape, uniform.shape
        ((3, 2), (3,))
    """
    if not 1 <= latent_dim <= MAX_LATENT_DIM:
        raise UsageError(
            f"latent_dim must be in [1, {MAX_LATENT_DIM}], got {latent_dim!r}."
        )
    in_numbers = isinstance(num_images, int | np.integer)
    if in_numbers and not 0 <= num_images <= MAX_IMAGES:
        raise UsageError(
            f"num_images must be in [0, {MAX_IMAGES}], got {num_images!r}."
        )
    if isinstance(seed, int):
        check_seed(seed)
    cast = _cast if xp is np else xp.cast
    arange = np.arange if in_numbers else xp.range
    take = np.take if xp is np else xp.gather

    # Indexing with slices would convert to operators that not every runtime infers.
    image = arange(num_images) + first_image
    image = xp.reshape(cast(image, np.float32), (-1, 1))  # (N, 1)
    latent = np.arange(latent_dim, dtype=np.float32)[None]  # (1, D)
    a, b, c, d = words(cast(seed, np.float32), image, latent, xp)  # (N, D)
    size = np.float32(2**TABLE_BITS)
    low = xp.floor(b * np.float32(2**TABLE_BITS / WORD / WORD))
    index = a * np.float32(size / WORD) + low
    normal = take(quantiles(), cast(index, np.int32))  # (N, D)
    c, d = take(c, 0, axis=1), take(d, 0, axis=1)  # (N,)
    uniform = (c * np.float32(WORD) + d) * np.float32(WORD**-2)  # (N,)
    return normal, uniform


def _cast(value, dtype):
    return np.asarray(value).astype(dtype)
