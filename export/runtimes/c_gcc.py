"""Compiles `c/` with gcc and calls it; see `c/main.c` for a program in C."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

if shutil.which("gcc") is None:
    raise ImportError("gcc is missing")


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    return _decoder(*_compile(path))


def _decoder(library, shape):
    def decode(z, label=None):
        images = np.empty((len(z), *shape), np.float32)
        for k, image in enumerate(images):
            row = np.ascontiguousarray(z[k : k + 1])
            feed = [row] if label is None else [row, label[k : k + 1]]
            library.decode(*(_pointer(array) for array in (*feed, image)))
        return images

    return decode


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""
    library, shape = _compile(path)
    decode = _decoder(library, shape)

    def generate(seed, num_images, label=None):
        z = np.empty((num_images, library.latent_dim), np.float32)
        for k in range(num_images):
            feed = np.int64([seed]), np.int64([k]), z[k]
            library.draw(*(_pointer(array) for array in feed))
        labels = [] if label is None else [np.full(num_images, label, np.int64)]
        return decode(z, *labels), z

    return generate


def _compile(path):
    path = Path(path)
    defines = dict(
        line.split()[1:]
        for line in (path / "decoder.h").read_text().splitlines()
        if line.startswith("#define ") and len(line.split()) == 3
    )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "decoder.so"
        sources = [path / "decoder.c", path / "draw.c"]
        flags = ["-std=c99", "-O2", "-shared", "-fPIC", "-o", target]
        subprocess.run(["gcc", *flags, *sources, "-lm"], check=True)
        library = ctypes.CDLL(str(target))
    library.latent_dim = int(defines["LATENT_DIM"])
    return library, [int(defines[name]) for name in ("HEIGHT", "WIDTH", "CHANNELS")]


def _pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)
