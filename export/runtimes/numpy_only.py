"""Runs `decoder.onnx` and `generator.onnx` with NumPy and nothing else. Copy this file.

    python numpy_only.py BUNDLE --num-images 64 --seed 7 images.npy

An ONNX file is a protocol buffer: `read` takes it apart, `run` computes its nodes.
Slower than a real runtime, and a second opinion on all of them.
"""

import argparse
import math
import struct
from pathlib import Path

import numpy as np

DTYPES = {1: "f4", 2: "u1", 3: "i1", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8"}


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    graph = read(Path(path).read_bytes())

    def decode(z, label=None):
        feed = {"z": z} if label is None else {"z": z, "label": label}
        return run(graph, feed)["images"]

    return decode


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""
    graph = read(Path(path).read_bytes())

    def generate(seed, num_images, label=None):
        feed = {"seed": seed, "num_images": num_images}
        feed |= {} if label is None else {"label": label}
        values = run(graph, {name: np.int64(value) for name, value in feed.items()})
        return values["images"], values["z"]

    return generate


def run(graph, feed):
    """Computes the nodes in order; returns every tensor by name."""
    nodes, weights = graph
    values = weights | feed | {"": None}
    with np.errstate(over="ignore", divide="ignore"):  # exp(-x), log(0)
        for operator, inputs, outputs, attributes in nodes:
            if operator not in OPERATORS:
                raise NotImplementedError(f"numpy_only.py lacks {operator}")
            if operator == "Split":
                attributes = attributes | {"num_outputs": len(outputs)}
            result = OPERATORS[operator](*(values[x] for x in inputs), **attributes)
            results = result if isinstance(result, list) else [result]
            values |= zip(outputs, results, strict=True)
    return values


# === The file ===


def read(data):
    """Nodes (operator, inputs, outputs, attributes) and weights by name."""
    (graph,) = [_fields(value) for number, value in _fields(data) if number == 7]
    nodes = [_node(_fields(value)) for number, value in graph if number == 1]
    weights = dict(_tensor(_fields(value)) for number, value in graph if number == 5)
    return nodes, weights


def _fields(data):
    """Pairs (field number, value) of a protocol buffer message."""
    fields, position = [], 0
    while position < len(data):
        key, position = _varint(data, position)
        if key & 7 == 0:
            value, position = _varint(data, position)
        else:
            size = {1: 8, 5: 4}.get(key & 7)
            if size is None:
                size, position = _varint(data, position)
            value, position = data[position : position + size], position + size
        fields.append((key >> 3, value))
    return fields


def _varint(data, position):
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 127) << shift
        shift, position = shift + 7, position + 1
        if byte < 128:
            return value - (value >> 63 << 64), position  # two's complement


def _integers(values):
    """Repeated integers, packed or one by one."""
    numbers = []
    for value in values:
        if isinstance(value, int):
            numbers.append(value)
            continue
        position = 0
        while position < len(value):
            number, position = _varint(value, position)
            numbers.append(number)
    return numbers


def _node(fields):
    named = {n: [v for m, v in fields if m == n] for n in (1, 2, 4, 5)}
    inputs, outputs = ([bytes(v).decode() for v in named[n]] for n in (1, 2))
    attributes = dict(_attribute(_fields(value)) for value in named[5])
    return bytes(named[4][0]).decode(), inputs, outputs, attributes


def _attribute(fields):
    value = None
    for number, content in fields:
        if number == 1:
            name = bytes(content).decode()
        elif number == 2:
            value = struct.unpack("<f", content)[0]
        elif number == 3:
            value = content
        elif number == 4:
            value = bytes(content).decode()
        elif number == 5:
            value = _tensor(_fields(content))[1]
        elif number == 7:  # floats, packed or one by one
            value = [*(value or []), *np.frombuffer(content, "<f4").tolist()]
        elif number == 8:
            value = (value or []) + _integers([content])
    return name, value


def _tensor(fields):
    dims = _integers([value for number, value in fields if number == 1])
    (kind,) = [value for number, value in fields if number == 2]
    name = next((bytes(v).decode() for n, v in fields if n == 8), "")
    dtype = np.dtype(DTYPES[kind]).newbyteorder("<")
    raw = b"".join(bytes(value) for number, value in fields if number in (4, 9))
    if raw or 0 in dims:
        array = np.frombuffer(raw, dtype)
    else:
        array = np.array(_integers([v for n, v in fields if n in (5, 7)]), dtype)
    return name, array.reshape(dims)


# === The operators ===


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _softmax(x, axis):
    exp = np.exp(x - x.max(axis, keepdims=True))
    return exp / exp.sum(axis, keepdims=True)


def _elu(x, alpha=1.0):
    return np.where(x > 0, x, np.float32(alpha) * np.expm1(np.minimum(x, 0)))


def _selu(x, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875):
    return np.float32(gamma) * _elu(x, alpha)


def _reshape(x, shape, allowzero=0):
    shape = [x.shape[k] if size == 0 else size for k, size in enumerate(shape)]
    return x.reshape(shape)


def _one_hot(index, depth, values, axis=-1):
    off, on = values
    hot = index[..., None] == np.arange(int(np.ravel(depth)[0]))
    return np.moveaxis(np.where(hot, on, off), -1, axis)


def _slice(x, starts, ends, axes=None, steps=None):
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        end = None if step < 0 and end < -x.shape[axis] else int(end)
        index[axis] = slice(int(start), end, int(step))
    return x[tuple(index)]


def _split(x, sizes=None, *, num_outputs, axis=0):
    if sizes is None:
        sizes = [-(-x.shape[axis] // num_outputs)] * num_outputs
    return np.split(x, np.cumsum(sizes)[:-1], axis)


def _widen(x, scale, zero=0, axis=1):
    shape = [-1 if k == axis % x.ndim else 1 for k in range(x.ndim)]
    return (x.astype("f4") - np.reshape(zero, shape)) * np.reshape(scale, shape)


def _reduce(function):
    def reduce(x, axes=None, keepdims=1, noop_with_empty_axes=0):
        axes = None if axes is None else tuple(int(axis) for axis in axes)
        return function(x, axis=axes, keepdims=bool(keepdims))

    return reduce


def _gemm(a, b, c=0, alpha=1.0, beta=1.0, transA=0, transB=0):
    a, b = a.T if transA else a, b.T if transB else b
    return np.float32(alpha) * (a @ b) + np.float32(beta) * c


def _conv(x, kernel, bias=None, *, strides=(1, 1), pads=(0, 0, 0, 0), **other):
    _plain(other, kernel)
    top, left, bottom, right = _pads(x, kernel, strides, pads, other)
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], (2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1]]  # (N, C, H, W, kh, kw)
    y = np.moveaxis(np.tensordot(windows, kernel, ((1, 4, 5), (1, 2, 3))), -1, 1)
    return y if bias is None else y + bias[:, None, None]


def _average_pool(x, *, kernel_shape, strides):  # without pads
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel_shape, (2, 3))
    return windows[:, :, :: strides[0], :: strides[1]].mean((4, 5))


def _conv_transpose(x, kernel, bias=None, *, strides=(1, 1), **other):
    _plain(other, kernel)
    batch, _, rows, columns = x.shape
    more = other.get("output_padding", (0, 0))
    height = (rows - 1) * strides[0] + kernel.shape[2] + more[0]
    width = (columns - 1) * strides[1] + kernel.shape[3] + more[1]
    y = np.zeros((batch, kernel.shape[1], height, width), x.dtype)
    for i, j in np.ndindex(kernel.shape[2:]):
        part = np.moveaxis(np.tensordot(x, kernel[:, :, i, j], ((1,), (0,))), -1, 1)
        stop = i + strides[0] * rows, j + strides[1] * columns
        y[:, :, i : stop[0] : strides[0], j : stop[1] : strides[1]] += part
    if "output_shape" in other:
        total = height - other["output_shape"][-2], width - other["output_shape"][-1]
        upper = other.get("auto_pad") == "SAME_UPPER"
        top, left = (n - n // 2 if not upper else n // 2 for n in total)
        bottom, right = total[0] - top, total[1] - left
    else:
        top, left, bottom, right = other.get("pads", (0, 0, 0, 0))
    y = y[:, :, top : height - bottom, left : width - right]
    return y if bias is None else y + bias[:, None, None]


def _plain(other, kernel):
    """Refuses what this file does not compute."""
    if other.get("group", 1) != 1 or set(other.get("dilations", [1])) != {1}:
        raise NotImplementedError("numpy_only.py lacks groups and dilations")


def _pads(x, kernel, strides, pads, other):
    if not other.get("auto_pad", "NOTSET").startswith("SAME"):
        return pads
    sizes = zip(x.shape[2:], strides, kernel.shape[2:], strict=True)
    total = [max((-(-n // stride) - 1) * stride + k - n, 0) for n, stride, k in sizes]
    less, more = [n // 2 for n in total], [n - n // 2 for n in total]
    return (*less, *more) if other["auto_pad"] == "SAME_UPPER" else (*more, *less)


OPERATORS = {
    "Abs": np.abs,
    "Add": np.add,
    "And": np.logical_and,
    "AveragePool": _average_pool,
    "Cast": lambda x, to: np.asarray(x).astype(DTYPES[to]),
    "Ceil": np.ceil,
    "Clip": lambda x, low=None, high=None: np.clip(x, low, high),
    "Concat": lambda *arrays, axis: np.concatenate(arrays, axis),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DequantizeLinear": _widen,
    "Div": lambda a, b: a / b if a.dtype.kind == "f" else a // b,
    "Elu": _elu,
    "Equal": np.equal,
    "Erf": lambda x: np.vectorize(math.erf, otypes=[x.dtype])(x),
    "Exp": np.exp,
    "Expand": lambda x, shape: x * np.ones(shape, x.dtype),
    "Flatten": lambda x, axis=1: x.reshape(math.prod(x.shape[:axis]), -1),
    "Floor": np.floor,
    "Gather": lambda x, index, axis=0: np.take(x, index, axis),
    "Gemm": _gemm,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: np.clip(alpha * x + beta, 0, 1),
    "Identity": lambda x: x,
    "LeakyRelu": lambda x, alpha=0.01: np.where(x >= 0, x, np.float32(alpha) * x),
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Log": np.log,
    "LogSoftmax": lambda x, axis=-1: np.log(_softmax(x, axis)),
    "MatMul": np.matmul,
    "Max": lambda *arrays: np.max(np.broadcast_arrays(*arrays), axis=0),
    "Min": lambda *arrays: np.min(np.broadcast_arrays(*arrays), axis=0),
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "OneHot": _one_hot,
    "Or": np.logical_or,
    "Pow": np.power,
    "Range": lambda start, stop, step: np.arange(start, stop, step),
    "Reciprocal": np.reciprocal,
    "ReduceMax": _reduce(np.max),
    "ReduceMean": _reduce(np.mean),
    "ReduceSum": _reduce(np.sum),
    "Relu": lambda x: np.maximum(x, 0),
    "Reshape": _reshape,
    "Selu": _selu,
    "Shape": lambda x: np.array(x.shape, np.int64),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Sign": np.sign,
    "Slice": _slice,
    "Softmax": lambda x, axis=-1: _softmax(x, axis),
    "Softplus": _softplus,
    "Split": _split,
    "Sqrt": np.sqrt,
    "Squeeze": lambda x, axes=None: np.squeeze(
        x, None if axes is None else tuple(int(axis) for axis in axes)
    ),
    "Sub": np.subtract,
    "Tanh": np.tanh,
    "Tile": np.tile,
    "Transpose": lambda x, perm: np.transpose(x, perm),
    "Unsqueeze": lambda x, axes: np.expand_dims(x, tuple(int(axis) for axis in axes)),
    "Where": np.where,
}


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--num-images", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--label", type=int)
    options = parser.parse_args()
    generate = load_generator(options.bundle / "generator.onnx")
    images, _ = generate(options.seed, options.num_images, options.label)
    np.save(options.output, images)


if __name__ == "__main__":
    main()
