"""IDX, `.npy` and `.npz` files as bytes, right ones and those that lie."""

import io
import struct
import zipfile

import numpy as np

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 5), np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 3
IDX_TYPES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def idx(array=IMAGES, *, shape=None, kind=None, rank=None) -> bytes:
    """An IDX file; a header that says something else where that is given."""
    types = {np.dtype(name): number for name, number in IDX_TYPES.items()}
    shape = array.shape if shape is None else shape
    kind = types[array.dtype] if kind is None else kind
    header = bytes([0, 0, kind, len(shape) if rank is None else rank])
    return header + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def npy(array=IMAGES, *, descr=None, shape=None, version=(1, 0), header=None) -> bytes:
    """A `.npy` file; a header that says something else where that is given."""
    if header is None:
        descr = np.lib.format.dtype_to_descr(array.dtype) if descr is None else descr
        shape = array.shape if shape is None else shape
        order = array.flags.f_contiguous and not array.flags.c_contiguous
        header = f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}"
    text = header.encode().ljust(117) + b"\n"
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    values = array.tobytes(order="A")
    return b"\x93NUMPY" + bytes(version) + length + text + values


def npz(members: dict[str, bytes], method=zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file of `.npy` files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()
