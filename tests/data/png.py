"""PNG files written byte for byte, for what Pillow does not write."""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOR_TYPES = {1: 0, 3: 2, 2: 4, 4: 6}  # channels -> color type


def chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def header(width, height, depth=8, color_type=0) -> bytes:
    return chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, *3 * [0])
    )


def png(pixels: np.ndarray, *chunks: tuple[bytes, bytes], extra: int = 0) -> bytes:
    """A PNG file of pixels uint8 or uint16 (H, W, C).

    Args:
        pixels: The image; 1, 2, 3 or 4 channels.
        *chunks: (kind, data) of further chunks, before the pixels.
        extra: Zeros that follow the pixels, packed with them.
    """
    height, width, channels = pixels.shape
    rows = pixels.astype(f">u{pixels.itemsize}").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows) + bytes(extra)
    return b"".join(
        [
            SIGNATURE,
            header(width, height, 8 * pixels.itemsize, COLOR_TYPES[channels]),
            *(chunk(*one) for one in chunks),
            chunk(b"IDAT", zlib.compress(data)),
            chunk(b"IEND", b""),
        ]
    )
