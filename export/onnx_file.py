"""An ONNX file as the protocol buffer that it is: what can be said before it is run.

The package onnx is not needed, so that a server does without it.
"""

from collections.abc import Iterator
from pathlib import Path

from keras_vae.errors import ModelError

# Those fields of each protocol buffer message that lead to a tensor.
MESSAGES = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        **{5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto"},
        **{22: "SparseTensorProto", 23: "SparseTensorProto"},
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # fields of TensorProto
GRAPH = 7  # of ModelProto
NODE, GRAPH_OUTPUT = 1, 12  # of GraphProto
NODE_INPUT, NODE_OUTPUT, ATTRIBUTE = 1, 2, 5  # of NodeProto
# what else in a graph has a name, and the field of that: initializer, output,
# information about a value
NAME_IN = {5: 8, GRAPH_OUTPUT: 1, 13: 1}


def check_onnx(path: Path, data: bytes) -> None:
    """Refuses a model that keeps weights in another file.

    Args:
        path: the file, for the error.
        data: its content.

    Raises:
        ModelError: if a tensor is kept elsewhere, or `data` is no protocol buffer.
    """
    messages = [("ModelProto", memoryview(data))]
    try:
        while messages:
            kind, message = messages.pop()
            for number, value, _ in _fields(message):
                if kind == "TensorProto" and (
                    number == EXTERNAL_DATA or number == DATA_LOCATION and value != 0
                ):
                    raise ModelError(
                        f"{path} refers to other files; it must hold its weights."
                    )
                if number in MESSAGES[kind]:
                    messages.append((MESSAGES[kind][number], _bytes(value)))
    except IndexError as error:
        raise ModelError(f"{path} is not an ONNX file.") from error


def part_for(path: Path, data: bytes, output: str) -> bytes:
    """The part of a model that one of its outputs needs.

    ONNX Runtime runs all of a graph, whichever outputs are asked for.

    Args:
        path: the file, for the error.
        data: its content.
        output: the output's name.

    Returns:
        A model with that output alone; `data` as it is where a node holds a graph of
        its own, which may use any value around it.

    Raises:
        ModelError: if `data` is no model with that output.
    """
    wanted = output.encode()
    try:
        whole = [*_fields(memoryview(data))]
        (graph,) = [[*_fields(_bytes(value))] for n, value, _ in whole if n == GRAPH]
        needed, parts = {wanted}, []
        for number, value, chunk in reversed(graph):  # a node comes after its inputs'
            if number == NODE:
                node = [*_fields(_bytes(value))]
                if any(_holds_graph(value) for n, value, _ in node if n == ATTRIBUTE):
                    return data
                if not needed & _names(node, NODE_OUTPUT):
                    continue
                needed |= _names(node, NODE_INPUT)
            parts.append((number, value, chunk))
        kept = [
            chunk
            for number, value, chunk in reversed(parts)
            if number not in NAME_IN
            or _names(_fields(_bytes(value)), NAME_IN[number])
            & ({wanted} if number == GRAPH_OUTPUT else needed)
        ]
    except (IndexError, ValueError) as error:
        raise ModelError(f"{path} is not an ONNX file.") from error
    content = b"".join(kept)
    others = b"".join(chunk for number, _, chunk in whole if number != GRAPH)
    return others + _varint_of(GRAPH << 3 | 2) + _varint_of(len(content)) + content


def _names(fields, number):
    """The texts of a field, but for empty ones, which stand for nothing."""
    return {bytes(_bytes(value)) for n, value, _ in fields if n == number} - {b""}


def _holds_graph(attribute):
    return any(number in (6, 11) for number, _, _ in _fields(_bytes(attribute)))


def _bytes(value) -> memoryview:
    if isinstance(value, int):
        raise IndexError("a number where a message belongs")
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview, memoryview]]:
    """Field number, value and all bytes of each field of a protocol buffer message."""
    position = 0
    while position < len(message):
        start = position
        key, position = _varint(message, position)
        value, size = None, {1: 8, 5: 4}.get(key & 7)
        if key & 7 == 0:
            value, position = _varint(message, position)
        elif key & 7 == 2:
            size, position = _varint(message, position)
        if size is not None:
            value, position = message[position : position + size], position + size
        if value is None or position > len(message) or not 8 <= key < 2**32:
            raise IndexError("not a field")
        yield key >> 3, value, message[start:position]


def _varint(message, position):
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        value, position = value | (byte & 127) << shift, position + 1
        if byte < 128:
            return value, position
    raise IndexError("not a number")


def _varint_of(value):
    """A number in bytes of seven bits, the lowest first."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
