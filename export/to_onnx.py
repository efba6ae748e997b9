"""ONNX, the format to share: a graph of standard operators and its weights, no code.

tf2onnx, which does the conversion, is kept behind this module: it only logs an operator
that it cannot convert and writes a broken file, and it names tensors after counters.
Here such an operator is an error, and the same weights give the same bytes.
"""

import logging
from pathlib import Path

import numpy as np

from export.bundle import describe
from export.decoder import decode_function, decoder_mean
from export.generator import generate_function
from export.parity import ROUNDED, Artifact
from keras_vae.errors import ModelError, UsageError

OPSET = 17
OPSETS = (17, 18)


def write_onnx(
    vae, folder: Path, *, opset: int = OPSET, weights: str = "float32"
) -> list[Artifact]:
    """Writes `decoder.onnx` and `generator.onnx`.

    With rounded weights it writes only the decoder, `decoder_float16.onnx` or
    `decoder_int8.onnx`, which is smaller; it still computes in float32.

    Args:
        vae: the model whose decoder is written.
        folder: existing folder.
        opset: version of the ONNX operator set, 17 or 18.
        weights: `float32`, `float16` or `int8`.

    Returns:
        The artifacts, run by ONNX Runtime.

    Raises:
        ModelError: if the decoder uses an operator that ONNX does not have.
        UsageError: if `opset` is not supported.
    """
    from export.runtimes.python_onnxruntime import load_decoder, load_generator

    model = decoder_mean(vae)
    decoder = convert(decode_function(model), "decoder", opset)
    for value in [*decoder.graph.input, *decoder.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    if weights != "float32":
        path = folder / f"decoder_{weights}.onnx"
        _round_weights(decoder.graph, weights)
        _save(decoder, path, vae)
        return [Artifact(path.name, load_decoder(path), tolerance=ROUNDED[weights])]
    generator = convert(generate_function(vae, model), "generator", opset)
    for value in generator.graph.output:
        # Left without a name: tract takes two names for two different sizes.
        value.type.tensor_type.shape.dim[0].Clear()
    _save(decoder, folder / "decoder.onnx", vae)
    _save(generator, folder / "generator.onnx", vae)
    return [
        Artifact("decoder.onnx", decode=load_decoder(folder / "decoder.onnx")),
        Artifact("generator.onnx", generate=load_generator(folder / "generator.onnx")),
    ]


def _save(model, path, vae):
    import onnx

    facts = {f"keras_vae.{key}": str(value) for key, value in describe(vae).items()}
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path)


def _round_weights(graph, weights):
    """Stores matrices and kernels in fewer bits, and a node that widens them.

    int8 has one scale for each output channel (Jacob et al. 2018, section 2.1, with the
    zero point at 0).
    """
    import onnx
    from onnx import helper, numpy_helper

    for tensor in [*graph.initializer]:
        array = numpy_helper.to_array(tensor)
        users = [node for node in graph.node if tensor.name in node.input]
        if array.ndim < 2 or array.dtype != np.float32 or not users:
            continue
        name, parts = tensor.name, [array.astype(np.float16)]
        operator, attributes = "Cast", {"to": onnx.TensorProto.FLOAT}
        if weights == "int8":
            axis = 0 if users[0].op_type == "Conv" else 1  # the output channels
            others = tuple(k for k in range(array.ndim) if k != axis)
            scale = np.abs(array).max(others) / np.float32(127)  # (channels,)
            scale = np.where(scale > 0, scale, np.float32(1))
            shape = [-1 if k == axis else 1 for k in range(array.ndim)]
            steps = np.round(array / scale.reshape(shape)).astype(np.int8)
            parts = [steps, scale, np.zeros(scale.shape, np.int8)]
            operator, attributes = "DequantizeLinear", {"axis": axis}
        names = [f"{name}_{kind}" for kind in (weights, "scale", "zero")[: len(parts)]]
        graph.initializer.remove(tensor)
        for part, part_name in zip(parts, names, strict=True):
            graph.initializer.append(numpy_helper.from_array(part, part_name))
        node = helper.make_node(operator, names, [name], f"{name}_wide", **attributes)
        graph.node.insert(0, node)


def convert(function, name: str, opset: int):
    """A TensorFlow function as an ONNX model with reproducible bytes.

    Args:
        function: `tf.function` with an input signature; returns a dict.
        name: name of the graph.
        opset: version of the ONNX operator set.

    Returns:
        `onnx.ModelProto`; inputs and outputs have the function's own names.

    Raises:
        ModelError: if an operator has no counterpart in ONNX.
        UsageError: if `opset` is not supported.
    """
    import onnx
    import tf2onnx

    if opset not in OPSETS:
        raise UsageError(
            f"The ONNX opset must be one of {', '.join(map(str, OPSETS))}, got {opset}."
        )
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)  # what it logs as an error is raised below
    try:
        model, _ = tf2onnx.convert.from_function(
            function,
            input_signature=function.input_signature,
            opset=opset,
            custom_op_handlers={"Erfc": (_erfc, []), "Expm1": (_expm1, [])},
        )
    finally:
        logger.setLevel(level)
    for node in model.graph.node:
        if not onnx.defs.has(node.op_type, opset, node.domain):
            raise ModelError(
                f"The decoder uses the operator {node.op_type}, which ONNX opset "
                f"{opset} does not have; use a layer made of standard operators."
            )
    _scalar_depths(model)
    _without_full_slices(model.graph)
    _means_by_axis(model.graph)
    _static_reshapes(model)
    return _canonical(model, name)


def _scalar_depths(model):
    """Gives OneHot its depth as a scalar: onnx's own evaluator refuses a vector."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "OneHot" and node.input[1] in weights:
            scalar = graph.initializer.add()
            scalar.CopyFrom(weights[node.input[1]])
            del scalar.dims[:]
            scalar.name = node.input[1] = f"{node.name}/depth"


def _without_full_slices(graph):
    """Bypasses slices that keep everything: tract takes their end for a size."""
    values = {tensor.name: _array(tensor) for tensor in graph.initializer}
    source = {}
    for node in graph.node:
        node.input[:] = [source.get(x, x) for x in node.input]
        if node.op_type == "Slice" and {*node.input[1:]} <= {*values}:
            starts, ends, _, *steps = (values[x] for x in node.input[1:])
            full = not starts.any() and (ends >= 10**9).all()  # tf2onnx's "to the end"
            if full and all((step == 1).all() for step in steps):
                source[node.output[0]] = node.input[0]


def _means_by_axis(graph):
    """Splits a mean over axes that are apart: OpenCV computes another number."""
    nodes = []
    for node in graph.node:
        attributes = {item.name: item for item in node.attribute}
        axes = [*attributes["axes"].ints] if "axes" in attributes else []
        if (
            node.op_type != "ReduceMean"
            or len(axes) < 2
            or not attributes["keepdims"].i
        ):
            nodes.append(node)
            continue
        x = node.input[0]
        for axis in axes:
            last = axis == axes[-1]
            part = type(node).FromString(node.SerializeToString())
            part.input[0] = x
            part.output[0] = x = node.output[0] if last else f"{node.name}/{axis}"
            next(item for item in part.attribute if item.name == "axes").ints[:] = [
                axis
            ]
            nodes.append(part)
    nodes = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(nodes)


def _array(tensor):
    import onnx

    return onnx.numpy_helper.to_array(tensor)


def _static_reshapes(model):
    """Replaces shapes that are computed from the batch size by constants with a -1.

    Keras computes the target of many a reshape although only the batch is unknown.
    tract refuses that and OpenCV computes other pixels.
    """
    import onnx

    graph = model.graph
    shapes = [_shapes(model, batch) for batch in (2, 3)]
    weights = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] in weights:
            continue
        first, second = (shape.get(node.output[0], [None]) for shape in shapes)
        if None in first or None in second:
            continue
        target = [a if a == b else -1 for a, b in zip(first, second, strict=True)]
        if target.count(-1) <= 1:
            name = f"{node.name}/shape"
            value = onnx.numpy_helper.from_array(np.array(target, np.int64), name)
            graph.initializer.append(value)
            node.input[1] = name
    _remove_unused(graph)


def _shapes(model, batch):
    """Every tensor's shape at one batch size; None stands for an unknown size."""
    import onnx

    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    for value in [*graph.input]:
        dims = value.type.tensor_type.shape.dim
        if value.name == "num_images":  # the generator's batch size is a number
            number = onnx.numpy_helper.from_array(np.int64(batch), value.name)
            graph.initializer.append(number)
            graph.input.remove(value)
        elif dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = batch
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {
        value.name: [
            dim.dim_value if dim.HasField("dim_value") else None
            for dim in value.type.tensor_type.shape.dim
        ]
        for value in [*graph.value_info, *graph.output]
    }


def _remove_unused(graph):
    needed, kept = {value.name for value in graph.output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    kept = [type(node).FromString(node.SerializeToString()) for node in reversed(kept)]
    del graph.node[:]
    graph.node.extend(kept)


def _erfc(context, node, name, args):
    # The exact GELU's only operator that ONNX lacks: erfc(x) = 1 - erf(x).
    _replace(context, node, "Erf", lambda erf, one: [one, erf])


def _expm1(context, node, name, args):
    # CELU's only operator that ONNX lacks: expm1(x) = exp(x) - 1.
    _replace(context, node, "Exp", lambda exp, one: [exp, one])


def _replace(context, node, operator, order):
    """Puts Sub(order(operator(x), 1)) in the place of `node`."""
    from tf2onnx.utils import make_name

    x, output = node.input[0], node.output[0]
    kind = {
        "shapes": [context.get_shape(output)],
        "dtypes": [context.get_dtype(output)],
    }
    context.remove_node(node.name)
    value = context.make_node(operator, [x], **kind).output[0]
    one = context.make_const(make_name("one"), np.float32(1)).output[0]
    context.make_node("Sub", order(value, one), outputs=[output], **kind)


def _canonical(model, name):
    """Renames tensors and nodes in topological order: same weights, same bytes."""
    graph = model.graph
    names = {value.name: value.name for value in [*graph.input, *graph.output]}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    used = []
    for k, node in enumerate(graph.node):
        for x in node.input:
            if x in weights and x not in names:
                names[x] = f"{name}_{len(used)}"
                used.append(weights[x])
        for index, x in enumerate(node.output):
            other = f"_{index}" if index else ""
            names.setdefault(x, f"{node.op_type.lower()}_{k}{other}")
        node.name = f"{node.op_type}_{k}"
        node.doc_string = ""
    for node in graph.node:
        node.input[:] = [names.get(x, x) for x in node.input]
        node.output[:] = [names[x] for x in node.output]
    tensors = [type(tensor).FromString(tensor.SerializeToString()) for tensor in used]
    for tensor in tensors:
        tensor.name = names[tensor.name]
        tensor.doc_string = ""
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(tensors)
    graph.name, graph.doc_string = name, ""
    return model
