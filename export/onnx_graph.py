"""Rewrites ONNX graphs: what other runtimes trip over, fewer bits, reproducible bytes.

Each function changes the model in place and keeps what it computes.
"""

import numpy as np


def simplify(model) -> None:
    """Writes in another way what some runtime refuses or computes wrongly.

    Args:
        model: `onnx.ModelProto` of tf2onnx.
    """
    _scalar_depths(model)
    _without_full_slices(model.graph)
    _means_by_axis(model.graph)
    _bounded_tanhs(model.graph)
    _static_reshapes(model)


def canonical(model, name: str):
    """Orders nodes and renames them and their tensors: same weights, same bytes.

    Args:
        model: `onnx.ModelProto`.
        name: name of the graph, and of its weights.

    Returns:
        The same model.
    """
    graph = model.graph
    _order(graph)
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
    tensors = [_copy(tensor) for tensor in used]
    for tensor in tensors:
        tensor.name = names[tensor.name]
        tensor.doc_string = ""
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(tensors)
    graph.name, graph.doc_string = name, ""
    return model


def _order(graph):
    """Puts every node behind those whose outputs it takes, in the order it takes them.

    That order is the graph's own: among nodes that do not depend on each other, tf2onnx
    chooses another one each time.
    """
    maker = {x: node for node in graph.node for x in node.output}
    ordered, seen = [], set()
    waiting = [value.name for value in reversed(graph.output)]
    while waiting:
        node = maker.get(waiting[-1])
        missing = [] if node is None else [x for x in node.input if x not in seen]
        if missing:
            waiting += reversed(missing)
            continue
        name = waiting.pop()
        if node is not None and name not in seen:
            ordered.append(_copy(node))
            seen.update(node.output)
        seen.add(name)
    del graph.node[:]
    graph.node.extend(ordered)


def round_weights(graph, weights: str) -> None:
    """Stores matrices and kernels in fewer bits, and a node that widens them.

    int8 has one scale for each output channel (Jacob et al. 2018, section 2.1, with the
    zero point at 0).

    Args:
        graph: `onnx.GraphProto` of a decoder.
        weights: `float16` or `int8`.
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
        node = helper.make_node(
            operator,
            names,
            [name],
            f"{name}_wide",
            **attributes,  # pyright: ignore
        )
        graph.node.insert(0, node)


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
    from onnx import helper, numpy_helper

    values = {tensor.name: _array(tensor) for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        attributes = {
            item.name: helper.get_attribute_value(item) for item in node.attribute
        }
        axes = []
        if node.op_type == "ReduceMean" and attributes.get("keepdims", 1):
            # From opset 18 on the axes are an input.
            axes = attributes.get("axes") or [*values.get(node.input[-1], [])]
        if len(axes) < 2:
            nodes.append(_copy(node))
            continue
        x = node.input[0]
        for axis in axes:
            part = _copy(node)
            part.input[0] = x
            last = axis == axes[-1]
            part.output[0] = x = node.output[0] if last else f"{node.name}/{axis}"
            if "axes" in attributes:
                item = next(item for item in part.attribute if item.name == "axes")
                item.ints[:] = [axis]
            else:
                part.input[1] = f"{part.output[0]}/axis"
                value = numpy_helper.from_array(
                    np.array([axis], np.int64), part.input[1]
                )
                graph.initializer.append(value)
            nodes.append(part)
    del graph.node[:]
    graph.node.extend(nodes)


def _copy(message):
    return type(message).FromString(message.SerializeToString())


def _bounded_tanhs(graph):
    """Keeps what goes into tanh within [-20, 20]: OpenCV gives NaN from 44 on."""
    from onnx import helper, numpy_helper

    tanhs = [node for node in graph.node if node.op_type == "Tanh"]
    bounds = {"tanh/low": -20, "tanh/high": 20} if tanhs else {}
    for name, value in bounds.items():
        graph.initializer.append(
            numpy_helper.from_array(np.array(value, np.float32), name)
        )
    for node in tanhs:
        bounded = f"{node.name}/bounded"
        clip = helper.make_node("Clip", [node.input[0], *bounds], [bounded])
        graph.node.insert([*graph.node].index(node), clip)
        node.input[0] = bounded


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

    model = _copy(model)
    graph = model.graph
    for value in [*graph.input]:
        dims = value.type.tensor_type.shape.dim
        if value.name == "num_images":  # the generator's batch size is a number
            number = onnx.numpy_helper.from_array(np.array(batch, np.int64), value.name)
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
    kept = [_copy(node) for node in reversed(kept)]
    del graph.node[:]
    graph.node.extend(kept)
