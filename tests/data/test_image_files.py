"""Each image format and mode, by a file made here, against values from NumPy."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from keras_vae.data.image_files import ImageOptions, read_header, read_image
from keras_vae.errors import DataError, UsageError
from tests.data.png import png

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (12, 10, 3), np.uint8)
GREY = RNG.integers(0, 256, (12, 10, 1), np.uint8)
ALPHA = RNG.integers(0, 256, (12, 10, 1), np.uint8)
WIDE_GREY = RNG.integers(0, 2**16, (12, 10, 1), np.uint16)
WIDE_COLOR = RNG.integers(0, 2**16, (12, 10, 3), np.uint16)
WIDE_ALPHA = RNG.integers(0, 2**16, (12, 10, 1), np.uint16)
# what a lossy codec can carry: one color, lighter in the lower half
PLAIN = np.full((16, 16, 3), (200, 60, 30), np.uint8)
PLAIN[8:] += 25
FEW = np.array([[0, 0, 0], [255, 0, 0], [20, 200, 90], [250, 250, 250]], np.uint8)
INDEX = RNG.integers(0, 4, (12, 10), np.uint8)


BEST = {"quality": 100, "subsampling": 0}


def color(channels=3, **options):
    return ImageOptions(channels=channels, **options)


def joined(*parts):
    return np.concatenate(parts, axis=2)


def over(pixels, alpha, ground=255):
    """Transparent pixels over a background, in exact arithmetic."""
    alpha = alpha / np.float64(255)
    return np.rint(alpha * pixels + (1 - alpha) * ground)


def rgb(grey):
    return grey.repeat(3, axis=2)


def saved(array, format, **options):
    """Array -> file in the format, as Pillow writes it."""
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def palette(transparent=None):
    image = Image.fromarray(INDEX, "P")
    image.putpalette(FEW.tobytes())
    return saved(image, "PNG", transparency=transparent)


def first_of(format, **options):
    first, second = Image.fromarray(PLAIN), Image.fromarray(255 - PLAIN)
    return saved(first, format, save_all=True, append_images=[second], **options)


def photograph(format):
    exif = Image.Exif()
    exif[274] = 6  # to be turned to the right
    return saved(np.rot90(PLAIN, 1).copy(), format, exif=exif, **BEST)


def bmp(image):
    return saved(image, "BMP")


def bmp_with_alpha(pixels):
    """32 bits a pixel, with masks for each channel: Pillow writes no such file."""
    height, width, _ = pixels.shape
    data = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    sizes = (124, width, height, 1, 32, 3, len(data), 0, 0, 0, 0)
    about = (struct.pack("<IiiHHIIiiII", *sizes) + masks).ljust(124, b"\0")
    start = 14 + len(about)
    return struct.pack("<2sIII", b"BM", start + len(data), 0, start) + about + data


def high(wide):
    return wide // 256


# what -> (file, expected RGB, largest difference, grey, traits)
CASES = {
    "PNG 1 bit": (
        saved(Image.fromarray(GREY[..., 0] > 99), "PNG"),
        rgb(255 * (GREY > 99)), 0, True, (),
    ),
    "PNG grey": (saved(GREY[..., 0], "PNG"), rgb(GREY), 0, True, ()),
    "PNG grey, 16 bits": (
        png(WIDE_GREY), rgb(np.rint(WIDE_GREY / 257)), 0, True, ("16-bit",),
    ),
    "PNG grey with alpha": (
        saved(Image.fromarray(joined(GREY, ALPHA)), "PNG"),
        rgb(over(GREY, ALPHA)), 1, True, ("transparent",),
    ),
    "PNG grey with alpha, 16 bits": (
        png(joined(WIDE_GREY, WIDE_ALPHA)),
        rgb(over(high(WIDE_GREY), high(WIDE_ALPHA))), 1, True,
        ("transparent", "16-bit"),
    ),
    "PNG grey with a transparent level": (
        png(GREY, (b"tRNS", bytes([0, GREY[3, 4, 0]]))),
        rgb(np.where(GREY == GREY[3, 4], 255, GREY)), 0, True, ("transparent",),
    ),
    "PNG grey with a transparent level, 16 bits": (
        png(WIDE_GREY, (b"tRNS", WIDE_GREY[3, 4].astype(">u2").tobytes())),
        rgb(np.where(WIDE_GREY == WIDE_GREY[3, 4], 255, np.rint(WIDE_GREY / 257))),
        0, True, ("transparent", "16-bit"),
    ),
    "PNG palette": (palette(), FEW[INDEX], 0, False, ("palette",)),
    "PNG palette with alpha": (
        palette(bytes([255, 0, 128, 255])),
        over(FEW, np.array([[255], [0], [128], [255]]))[INDEX], 1, False,
        ("palette", "transparent"),
    ),
    "PNG color": (saved(COLOR, "PNG"), COLOR, 0, False, ()),
    "PNG color, 16 bits": (png(WIDE_COLOR), high(WIDE_COLOR), 0, False, ("16-bit",)),
    "PNG color with alpha": (
        saved(joined(COLOR, ALPHA), "PNG"), over(COLOR, ALPHA), 1, False,
        ("transparent",),
    ),
    "PNG color with alpha, 16 bits": (
        png(joined(WIDE_COLOR, WIDE_ALPHA)),
        over(high(WIDE_COLOR), high(WIDE_ALPHA)), 1, False, ("transparent", "16-bit"),
    ),
    "PNG color with a transparent color": (
        png(COLOR, (b"tRNS", COLOR[3, 4].astype(">u2").tobytes())),
        np.where((COLOR == COLOR[3, 4]).all(axis=2, keepdims=True), 255, COLOR),
        0, False, ("transparent",),
    ),
    "PNG animated": (first_of("PNG"), PLAIN, 0, False, ("animated",)),
    "PNG with EXIF orientation": (photograph("PNG"), PLAIN, 0, False, ("rotated",)),
    "JPEG grey": (
        saved(PLAIN[..., 0], "JPEG", **BEST), rgb(PLAIN[..., :1]), 1, True, (),
    ),
    "JPEG color": (saved(PLAIN, "JPEG", **BEST), PLAIN, 4, False, ()),
    "JPEG progressive": (
        saved(PLAIN, "JPEG", **BEST, progressive=True), PLAIN, 4, False, (),
    ),
    "JPEG CMYK": (
        saved(Image.fromarray(PLAIN).convert("CMYK"), "JPEG", **BEST),
        PLAIN, 4, False, ("CMYK",),
    ),
    "JPEG with EXIF orientation": (photograph("JPEG"), PLAIN, 4, False, ("rotated",)),
    "JPEG of several pictures (MPO)": (
        first_of("MPO", **BEST), PLAIN, 4, False, (),
    ),
    "WebP lossy": (saved(PLAIN, "WEBP", **BEST), PLAIN, 6, False, ()),
    "WebP lossless": (saved(COLOR, "WEBP", lossless=True), COLOR, 0, False, ()),
    "WebP with alpha": (
        saved(joined(COLOR, ALPHA), "WEBP", lossless=True, exact=True),
        over(COLOR, ALPHA), 1, False, ("transparent",),
    ),
    "WebP animated": (
        first_of("WEBP", lossless=True), PLAIN, 0, False, ("animated",),
    ),
    "WebP with EXIF orientation": (photograph("WEBP"), PLAIN, 9, False, ("rotated",)),
    "BMP 1 bit": (
        bmp(Image.fromarray(GREY[..., 0] > 99)), rgb(255 * (GREY > 99)), 0, True, (),
    ),
    "BMP grey": (bmp(GREY[..., 0]), rgb(GREY), 0, True, ()),
    "BMP palette": (
        bmp(Image.open(io.BytesIO(palette()))), FEW[INDEX], 0, False, ("palette",),
    ),
    "BMP color": (bmp(COLOR), COLOR, 0, False, ()),
    "BMP with alpha": (
        bmp_with_alpha(joined(COLOR, ALPHA)), over(COLOR, ALPHA), 1, False,
        ("transparent",),
    ),
    "GIF": (saved(Image.open(io.BytesIO(palette())), "GIF"), FEW[INDEX], 0, False,
            ("palette",)),
    "GIF grey": (saved(GREY[..., 0], "GIF"), rgb(GREY), 0, True, ("palette",)),
    "GIF with a transparent color": (
        saved(Image.open(io.BytesIO(palette())), "GIF", transparency=1),
        np.where(INDEX[..., None] == 1, 255, FEW[INDEX]), 0, False,
        ("palette", "transparent"),
    ),
    "GIF animated": (first_of("GIF"), PLAIN, 0, False, ("palette", "animated")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_format_and_mode_comes_out_right(case, tmp_path):
    data, expected, tolerance, grey, traits = CASES[case]
    path = tmp_path / "image"
    path.write_bytes(data)
    found = read_image(path, color())
    assert found.dtype == np.uint8 and found.shape == expected.shape
    np.testing.assert_allclose(found.astype(int), expected, rtol=0, atol=tolerance)
    assert read_header(path, color()) == (expected.shape[:2], grey, traits)

    luminance = expected @ [0.299, 0.587, 0.114]  # Rec. 601
    found = read_image(path, color(channels=1))
    assert found.shape == (*expected.shape[:2], 1)
    atol = tolerance + 1
    np.testing.assert_allclose(found[..., 0].astype(int), luminance, rtol=0, atol=atol)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_it_was_held(orientation, tmp_path):
    seen = np.arange(12, dtype=np.uint8).reshape(3, 4)
    # EXIF 2.32, 4.6.4: where row 0 and column 0 of the stored image are seen
    stored = {
        1: seen, 2: seen[:, ::-1], 3: seen[::-1, ::-1], 4: seen[::-1],
        5: seen.T, 6: np.rot90(seen), 7: seen[::-1, ::-1].T, 8: np.rot90(seen, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "image.png"
    path.write_bytes(saved(np.ascontiguousarray(stored), "PNG", exif=exif))
    found = read_image(path, color(channels=1))
    np.testing.assert_array_equal(found[..., 0], seen)
    header = read_header(path, color())
    assert header.size == (3, 4)
    assert ("rotated" in header.traits) == (orientation > 1)


def test_damaged_metadata_are_no_reason_to_refuse_an_image(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(png(COLOR, (b"eXIf", b"nothing like it")))
    np.testing.assert_array_equal(read_image(path, color()), COLOR)
    assert read_header(path, color()).traits == ()


def test_what_is_transparent_shows_the_background(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(saved(joined(COLOR, ALPHA), "PNG"))
    expected = over(COLOR, ALPHA, (255, 128, 0))
    for name in ("#ff8000", "rgb(255, 128, 0)"):
        found = read_image(path, color(background=name))
        np.testing.assert_allclose(found.astype(int), expected, atol=1)


# --- sizes --------------------------------------------------------------------------


def gradient(height, width):
    """Red grows to the right, green downwards."""
    image = np.zeros((height, width, 3))
    image[..., 0] = (np.arange(width) + 0.5) / width
    image[..., 1] = ((np.arange(height) + 0.5) / height)[:, None]
    return np.rint(255 * image).astype(np.uint8)


@pytest.fixture
def wide(tmp_path):
    path = tmp_path / "wide.png"
    path.write_bytes(saved(gradient(40, 80), "PNG"))
    return path


def test_crop_covers_the_size_and_cuts_the_middle_out(wide):
    found = read_image(wide, color(image_size=20))
    expected = gradient(20, 40)[:, 10:30].astype(int)
    np.testing.assert_allclose(found[2:-2, 2:-2], expected[2:-2, 2:-2], atol=3)
    tall = read_image(wide, color(image_size=(40, 20)))
    expected = gradient(40, 80)[:, 30:50].astype(int)
    np.testing.assert_allclose(tall, expected, atol=3)


def test_pad_fits_into_the_size_over_the_background(wide):
    found = read_image(wide, color(image_size=20, resize="pad", background="blue"))
    np.testing.assert_array_equal(found[:5], np.broadcast_to([0, 0, 255], (5, 20, 3)))
    np.testing.assert_array_equal(found[15:], found[:5])
    expected = gradient(10, 20).astype(int)
    np.testing.assert_allclose(found[5:15][1:-1, 1:-1], expected[1:-1, 1:-1], atol=4)


def test_stretch_changes_the_proportions(wide):
    found = read_image(wide, color(image_size=(20, 20), resize="stretch"))
    expected = gradient(20, 20).astype(int)
    np.testing.assert_allclose(found[1:-1, 1:-1], expected[1:-1, 1:-1], atol=4)


def test_shrinking_takes_the_mean_of_what_it_covers(tmp_path):
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255  # black and white pixels
    path = tmp_path / "board.png"
    path.write_bytes(saved(board.astype(np.uint8), "PNG"))
    found = read_image(path, color(channels=1, image_size=16))
    assert abs(found[1:-1, 1:-1].astype(int) - 127.5).max() < 2


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1)])
def test_images_of_any_proportions_reach_the_size(resize, size, tmp_path):
    path = tmp_path / "thin.png"
    path.write_bytes(saved(np.full((*size, 3), 7, np.uint8), "PNG"))
    found = read_image(path, color(image_size=(8, 6), resize=resize, background="red"))
    assert found.shape == (8, 6, 3)
    if resize != "pad":
        assert (found == 7).all()


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(tmp_path):
    large = gradient(800, 1200)
    for name in ("image.jpg", "image.png"):
        format = {"jpg": "JPEG", "png": "PNG"}[name[-3:]]
        (tmp_path / name).write_bytes(saved(large, format, **BEST))
    one, other = (
        read_image(tmp_path / name, color(image_size=(32, 48))).astype(int)
        for name in ("image.jpg", "image.png")
    )
    np.testing.assert_allclose(one, other, atol=3)


# --- what is refused ----------------------------------------------------------------


def test_too_many_pixels_are_refused_by_the_header(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(saved(np.zeros((1001, 1000), np.uint8), "PNG"))
    assert read_header(path, color(max_megapixels=2)).size == (1001, 1000)
    for read in (read_header, read_image):
        with pytest.raises(DataError, match="large.png: more than 1 million pixels"):
            read(path, color(max_megapixels=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "image_size must be a whole number >= 1"),
        ({"image_size": (8, 8, 3)}, "a height, or a height and a width"),
        ({"image_size": ()}, "a height, or a height and a width"),
        ({"image_size": 5000}, "image_size must be a whole number <= 4096"),
        ({"image_size": (8, 2.5)}, "image_size must be a whole number"),
        ({"resize": "cut"}, "Unknown resize 'cut'; expected one of crop, pad"),
        ({"channels": 4}, "channels must be 1 or 3; got 4"),
        ({"background": "octarine"}, "background must be a color.*got 'octarine'"),
        ({"background": "#ffffff80"}, "background must be a color"),
        ({"background": None}, "background must be a color"),
        ({"max_megapixels": 90}, "max_megapixels must be a whole number <= 89"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(UsageError, match=message):
        ImageOptions(**options)
    assert ImageOptions(image_size=8).image_size == (8, 8)
