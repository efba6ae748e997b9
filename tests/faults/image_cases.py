"""Folders of images with something wrong or odd in them."""

import io
import os
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.data.png import SIGNATURE, chunk, header, png
from tests.faults.cases import Case

GOOD = np.random.default_rng(0).integers(0, 256, (4, 12, 10, 3), np.uint8)
FIRST = GOOD[0]


def saved(format, image=FIRST, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format, **options)
    return file.getvalue()


FILES = {format: saved(format) for format in ("PNG", "JPEG", "WEBP", "BMP", "GIF")}


def folder_with(**files: bytes | Callable):
    """A function that makes a folder of four good images and more files.

    Args:
        **files: Content, or what puts something that is no file there; `__` stands for
            the dot in a name.
    """

    def make(folder):
        pictures = folder / "pictures"
        pictures.mkdir()
        for number, image in enumerate(GOOD):
            (pictures / f"{number}.png").write_bytes(png(image))
        for name, content in files.items():
            path = pictures / name.replace("__", ".")
            if callable(content):
                content(path)
            else:
                path.write_bytes(content)
        return pictures

    return make


def broken(what, content, *words, name="bad__png"):
    """A file that cannot be used: it is named, and can be left out."""
    words = (name.replace("__", "."), "of 5 images 1 cannot be used", *words)
    return Case(what, folder_with(**{name: content}), 3, words, GOOD)


def right(what, content, image=FIRST, name="odd__png"):
    """A file that is odd, and an image."""
    images = np.concatenate([GOOD, image[None]])
    return Case(what, folder_with(**{name: content}), 0, (), images)


def hollow(width, height, color_type=0) -> bytes:
    """A PNG that says how large it is, and has no pixels."""
    idat = chunk(b"IDAT", zlib.compress(b""))
    return SIGNATURE + header(width, height, 8, color_type) + idat + chunk(b"IEND", b"")


def black(side) -> bytes:
    """A black PNG, packed a thousandfold."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(side + 1)) for _ in range(side))
    idat = chunk(b"IDAT", data + packer.flush())
    return SIGNATURE + header(side, side) + idat + chunk(b"IEND", b"")


def text_bomb(kind: bytes, megabytes: int) -> bytes:
    """A chunk of text, or a profile, of many times its size."""
    packed = zlib.compress(bytes(megabytes * 2**20), 9)
    data = {
        b"zTXt": b"a\0\0" + packed,
        b"iTXt": b"a\0\1\0\0\0" + packed,
        b"iCCP": b"a\0\0" + packed,
    }[kind]
    return png(FIRST, (kind, data))


def many_texts(number: int) -> bytes:
    packed = b"a\0\0" + zlib.compress(bytes(2**20 - 1), 9)
    return png(FIRST, *[(b"zTXt", packed)] * number)


def patched(format, place, new, length=None) -> bytes:
    """A file with some bytes replaced; `place` is a number or what stands there."""
    data = FILES[format]
    place = data.index(place) if isinstance(place, bytes) else place
    return data[:place] + new + data[place + (length or len(new)) :]


def jpeg_of(width, height) -> bytes:
    data = FILES["JPEG"]
    start = data.index(b"\xff\xc0") + 5  # of the frame: precision, height, width
    return data[:start] + struct.pack(">HH", height, width) + data[start + 4 :]


def webp_of(width, height) -> bytes:
    sizes = b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
    about = b"VP8X" + struct.pack("<I4x", 10) + sizes
    body = b"WEBP" + about + FILES["WEBP"][12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif_of(width, height, frame=None) -> bytes:
    data = FILES["GIF"]
    data = data[:6] + struct.pack("<HH", width, height) + data[10:]
    if frame:
        start = data.index(b"\x2c\0\0\0\0") + 5
        data = data[:start] + struct.pack("<HH", *frame) + data[start + 4 :]
    return data


def bmp_of(width, height) -> bytes:
    return patched("BMP", 18, struct.pack("<ii", width, height))


def animation(format) -> bytes:
    first = Image.fromarray(FIRST)
    file = io.BytesIO()
    others = [Image.fromarray(image) for image in GOOD[1:]]
    lossless = {"lossless": True} if format == "WEBP" else {}
    first.save(file, format, save_all=True, append_images=others, **lossless)
    return file.getvalue()


def linked(target):
    return lambda path: path.symlink_to(target)


TOO_LARGE = [
    broken("20,000x20,000 black pixels", black(20_000), "more than 16 million"),
    broken("5,000x5,000 black pixels", black(5_000), "more than 16 million pixels"),
    broken("a PNG of 60,000x60,000", hollow(60_000, 60_000), "16 million pixels"),
    broken("a PNG of 2**31-1 a side", hollow(2**31 - 1, 2**31 - 1), "16 million"),
    broken("a PNG of 2**31-1 x 1", hollow(2**31 - 1, 1, 2), "16 million"),
    broken("a JPEG of 65,500x65,500", jpeg_of(65_500, 65_500), "16 million"),
    broken("a WebP of 16,383x16,383", webp_of(16_383, 16_383)),
    broken("a WebP of 2**24 a side", webp_of(2**24, 2**24)),
    broken("a GIF of 65,535x65,535", gif_of(65_535, 65_535), "16 million"),
    broken("a GIF with a larger frame", gif_of(10, 12, (60_000, 60_000)), "16 million"),
    broken("a BMP of 30,000x30,000", bmp_of(30_000, 30_000), "16 million"),
    broken("a BMP of 2**31-1 a side", bmp_of(2**31 - 1, 2**31 - 1), "16 million"),
    broken("zTXt of 100 MB", text_bomb(b"zTXt", 100), "cannot be decoded"),
    broken("iTXt of 100 MB", text_bomb(b"iTXt", 100), "cannot be decoded"),
    broken("iCCP of 100 MB", text_bomb(b"iCCP", 100), "cannot be decoded"),
    broken("70 texts of 1 MB", many_texts(70), "cannot be decoded"),
    right("IDAT with 100 MB more than the image needs", png(FIRST, extra=100 * 2**20)),
]

CUT = [
    broken(
        f"{format} cut to {eighths} eighths",
        data[: len(data) * eighths // 8],
        name=f"bad__{format.lower()}",
    )
    for format, data in FILES.items()
    for eighths in range(1, 8)
]

NO_IMAGE = [
    broken("text named .png", b"hello, world\n" * 9, "no PNG, JPEG, WebP, BMP or GIF"),
    broken("nothing named .png", b"", "no PNG, JPEG, WebP, BMP or GIF"),
    broken("a zip file named .jpg", b"PK\3\4" + bytes(99), name="bad__jpg"),
    broken("HTML named .gif", b"<html></html>", name="bad__gif"),
    broken("a TIFF named .png", saved("TIFF"), "no PNG, JPEG, WebP, BMP or GIF"),
    broken("a PPM named .png", saved("PPM"), "no PNG, JPEG, WebP, BMP or GIF"),
    broken("EPS named .png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    broken("an ICO named .bmp", saved("ICO"), name="bad__bmp"),
    broken("zeros", bytes(999)),
    broken("a PNG's signature", SIGNATURE),
    broken("a PNG without pixels", hollow(10, 12)),
    broken("a PNG of no width", hollow(0, 12)),
    broken("a PNG of color type 5", hollow(10, 12, 5)),
    broken("a PNG of a palette without one", hollow(10, 12, 3)),
    broken("a PNG with a wrong sum over IHDR", patched("PNG", 29, b"\0\0\0\0")),
    broken("a PNG with other bytes in IDAT", patched("PNG", 50, b"\xff" * 9)),
    broken("a JPEG's first bytes and others", FILES["JPEG"][:2] + bytes(range(256))),
    broken("a WebP of a length it has not", patched("WEBP", 16, b"\xff" * 4)),
    broken("a BMP of -1 x 1", bmp_of(-1, 1)),
    broken(
        "a link out of the folder", linked("/etc/passwd"), "leads out of the folder"
    ),
    broken("a link to nowhere", linked("nowhere"), "not a regular file"),
    broken("a link to itself", linked("bad.png"), "not a regular file"),
    broken("a link to a folder", linked("."), "a link to a folder"),
    broken("a link to the root", linked("/"), "a link to a folder", name="root"),
    broken("a named pipe", os.mkfifo, "not a regular file"),
]

ODD = [
    right("a JPEG named .png", saved("WEBP", lossless=True)),
    right("an ending in capitals", FILES["PNG"], name="ODD__PNG"),
    right("bytes after the image", FILES["PNG"] + bytes(999)),
    right("a PNG with a wrong sum of its packed pixels", patched("PNG", -14, b"\0\0")),
    right("a BMP with a palette of 2**32-1", patched("BMP", 46, b"\xff" * 4)),
    right("damaged EXIF data", png(FIRST, (b"eXIf", b"MM\0*" + b"\xff" * 40))),
    right("a damaged profile", png(FIRST, (b"iCCP", b"a\0\0" + zlib.compress(b"x")))),
    right("EXIF data that are no orientation", saved("PNG", exif=b"Exif\0\0II*\0")),
    right("an animated PNG", animation("PNG")),
    right("an animated WebP", animation("WEBP")),
    right("a link that stays inside", linked("0.png")),
    right("a new line in the name", FILES["PNG"], name="a\nb__png"),
    right("a name of 255 bytes", FILES["PNG"], name=251 * "a" + "__png"),
    right("a name in no encoding", FILES["PNG"], name="a\udcff__png"),
    right("a no-break space in the name", FILES["PNG"], name="12\u202fPM__png"),
]


def layout(*names: str, image=FIRST):
    """A function that makes a folder of images of these names."""

    def make(folder):
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))
        return folder

    return make


def mixed(folder):
    layout("a/0.png", "a/1.png")(folder)
    return layout("b/0.png", image=FIRST[:9])(folder)


def empty(folder):
    for name in ("one", "two/three"):
        (folder / name).mkdir(parents=True)
    (folder / "README.txt").touch()
    return folder


LAYOUTS = [
    Case("images of two sizes", mixed, 3, ("a/0.png has 12x10", "b/0.png 9x10")),
    Case("empty folders", empty, 3, ("no images; expected files that end in .png",)),
    Case("a single image", layout("a.png"), 3, ("a single image; expected at",)),
    Case("images beside classes", layout("a/0.png", "1.png"), 3, ("1.png: lies be",)),
    Case("classes beside train", layout("train/0.png", "a/0.png"), 3, ("a: lies be",)),
    Case("no train", layout("test/0.png", "val/0.png"), 3, ("none in train",)),
    Case(
        "val and valid",
        layout("train/0.png", "val/0.png", "valid/0.png"),
        3,
        ("valid: lies beside",),
    ),
    Case(
        "a class to test alone",
        layout("train/a/0.png", "test/b/0.png"),
        3,
        ("test images of the class b, but none to train on",),
    ),
    Case(
        "splits one folder deeper",
        layout("a/train/0.png", "a/test/0.png"),
        3,
        ("one folder deeper; pass",),
    ),
    Case(
        "a class whose name ends a line",
        layout("a\nb/0.png", "c/0.png"),
        3,
        ("'a\\nb' cannot be the name of a class",),
    ),
    Case(
        "a class of one image",
        layout("a/0.png", "a/1.png", "b/0.png"),
        0,
        (),
        np.stack(3 * [FIRST]),
    ),
    Case(
        "a class with a no-break space",
        layout("\u202f/0.png", "a/0.png", "b/0.png"),
        0,
        (),
        np.stack(3 * [FIRST]),
    ),
]
