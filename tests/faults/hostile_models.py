"""Runs of a stranger: each `model.keras` is after something, or is none."""

import base64
import io
import json
import marshal
import zipfile

import h5py
import numpy as np

# What Keras's own loader has run, read or allocated in one version or another; each
# makes the config.json of a `model.keras`.


def layer(module, kind, **config):
    return {"module": module, "class_name": kind, "config": config}


def python_lambda(trap):
    function = eval(f"lambda x: (open({str(trap.made)!r}, 'w').close(), x)[1]")
    code = base64.b64encode(marshal.dumps(function.__code__)).decode()
    config = {"code": code, "defaults": None, "closure": None}
    function = {"class_name": "__lambda__", "config": config}
    return layer("keras.layers", "Lambda", name="l", function=function)


def system_class(trap):
    return layer("os", "system", command=f"touch {trap.made}")


def called_function(trap):
    return layer("builtins", "exec", source=f"open({str(trap.made)!r}, 'w')")


def saved_model(trap):
    return layer("keras.layers", "TFSMLayer", filepath=str(trap.secret))


def vocabulary(trap):
    return layer("keras.layers", "StringLookup", vocabulary=str(trap.secret))


CONFIGS = (python_lambda, system_class, called_function, saved_model, vocabulary)


def write(path, weights: bytes | None, config=None, **options) -> None:
    """Writes a `model.keras` of these weights, and of a layer's config."""
    layers = [] if config is None else [config]
    config = layer("keras", "Sequential", name="s", layers=layers)
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(config))
        if weights is not None:
            archive.writestr("model.weights.h5", weights)


def weights_of(path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("model.weights.h5")


# === Arrays that are none: each changes one in the HDF5 file ===


def external_link(file, name, trap):
    del file[name]
    file[name] = h5py.ExternalLink(str(trap.secret), "/x")


def soft_link(file, name, trap):
    del file[name]
    file[name] = h5py.SoftLink("/other")


def virtual(file, name, trap):
    layout = h5py.VirtualLayout(file[name].shape, "f4")
    layout[:] = h5py.VirtualSource(str(trap.secret), "x", file[name].shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def external_storage(file, name, trap):
    replace(file, name, external=[(str(trap.secret), 0, file[name].nbytes)])


def chunked_bomb(file, name, trap):
    replace(file, name, shape=(2**20, 2**20), chunks=(2**10, 2**10))


def contiguous_bomb(file, name, trap):
    replace(file, name, shape=(2**40,))


def compressed_bomb(file, name, trap):
    shape = (2**15, 2**13)  # a gigabyte of zeros
    replace(file, name, shape=shape, chunks=(2**10, 2**13), compression="gzip")
    file[name][:1] = 1


def strings(file, name, trap):
    replace(file, name, dtype=h5py.string_dtype())


def records(file, name, trap):
    replace(file, name, dtype=np.dtype([("a", "f4"), ("b", "f4")]))


def references(file, name, trap):
    replace(file, name, dtype=h5py.ref_dtype)


def nothing(file, name, trap):
    del file[name]
    file[name] = h5py.Empty("f4")


def attribute(file, name, trap):
    file[name].attrs["dtype"] = "bfloat16"


def named_type(file, name, trap):
    file["type"] = np.dtype("f4")


def loop(file, name, trap):
    file["layers/loop"] = file["/"]


def other_shape(file, name, trap):
    replace(file, name, shape=(2, 2))


def missing(file, name, trap):
    del file[name]


ARRAYS = (
    (external_link, soft_link, virtual, external_storage, chunked_bomb)
    + (contiguous_bomb, compressed_bomb, strings, records, references, nothing)
    + (attribute, named_type, loop, other_shape, missing)
)


def replace(file, name, **options):
    options = {"shape": file[name].shape, "dtype": "f4"} | options
    del file[name]
    file.create_dataset(name, **options)


def changed(weights: bytes, change, trap) -> bytes:
    """The HDF5 file, with its first array that has two axes changed."""
    data = io.BytesIO(weights)
    with h5py.File(data, "r+") as file:
        names = []
        file.visititems(lambda name, part: names.append((name, part)))
        arrays = [name for name, part in names if isinstance(part, h5py.Dataset)]
        change(file, next(name for name in arrays if file[name].ndim == 2), trap)
    return data.getvalue()


# === Files that are none ===


def bomb_in_zip(path, weights):
    write(path, bytes(2**29), compression=zipfile.ZIP_DEFLATED)


def large(path, weights):
    write(path, weights + bytes(2**25))


def encrypted(path, weights):
    write(path, weights)
    data = path.read_bytes()
    head = data.rindex(b"PK\x01\x02")  # of the weights
    path.write_bytes(data[: head + 8] + b"\x01" + data[head + 9 :])


def text(path, weights):
    path.write_text("a model\n")


def empty(path, weights):
    path.write_bytes(b"")


def zeros(path, weights):
    path.write_bytes(bytes(path.stat().st_size))


def cut(path, weights):
    path.write_bytes(path.read_bytes()[:-1000])


def hdf5_alone(path, weights):
    path.write_bytes(weights)


def without_weights(path, weights):
    write(path, None)


def weights_of_text(path, weights):
    write(path, b"weights")


FILES = (bomb_in_zip, large, encrypted, text, empty, zeros, cut, hdf5_alone) + (
    without_weights,
    weights_of_text,
)
