"""Compiles `c/` with gcc and calls it; see `c/main.c` for a program in C."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

if shutil.which("gcc") is None:
    raise ImportError("gcc is missing; install it, on Debian as gcc and libc6-dev.")


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    return _decoder(*_compile(path, "decoder.h", ["decoder.c", "draw.c"]))


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
    library, shape = _compile(path, "decoder.h", ["decoder.c", "draw.c"])
    decode = _decoder(library, shape)

    def generate(seed, num_images, label=None):
        z = np.empty((num_images, library.latent_dim), np.float32)
        for k in range(num_images):
            feed = np.int64([seed]), np.int64([k]), z[k]
            library.draw(*(_pointer(array) for array in feed))
        labels = [] if label is None else [np.full(num_images, label, np.int64)]
        return decode(z, *labels), z

    return generate


def load_encoder(path):
    """Returns encode(x[, label]) -> mean, log_var, NumPy arrays (batch, latent_dim)."""
    library, _ = _compile(path, "encoder.h", ["encoder.c"])

    def encode(x, label=None):
        both = np.empty((2, len(x), library.latent_dim), np.float32)
        for k in range(len(x)):
            row = np.ascontiguousarray(x[k : k + 1])
            feed = [row] if label is None else [row, label[k : k + 1]]
            library.encode(*(_pointer(array) for array in (*feed, *both[:, k])))
        return tuple(both)

    return encode


def _compile(path, header, sources):
    path = Path(path)
    defines = dict(
        line.split()[1:]
        for line in (path / header).read_text().splitlines()
        if line.startswith("#define ") and len(line.split()) == 3
    )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.so"
        sources = [path / source for source in sources]
        flags = ["-std=c99", "-O2", "-shared", "-fPIC", "-o", target]
        subprocess.run(
            ["gcc", *flags, *sources, "-lm"], check=True, capture_output=True, text=True
        )
        library = ctypes.CDLL(str(target))
    library.latent_dim = int(defines["LATENT_DIM"])
    return library, [int(defines[name]) for name in ("HEIGHT", "WIDTH", "CHANNELS")]


def _pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)
