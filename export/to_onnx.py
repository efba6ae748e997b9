"""ONNX, the format to share: a graph of standard operators and its weights, no code.

tf2onnx, which does the conversion, is kept behind this module: it only logs an operator
that it cannot convert and writes a broken file, and it names tensors after counters.
Here such an operator is an error, and the same weights give the same bytes.
"""

import contextlib
import gc
import logging
from pathlib import Path

import numpy as np

from export.bundle import describe
from export.decoder import decode_function, decoder_mean
from export.encoder import encode_function, encoder_mean, score_function
from export.generator import generate_function
from export.onnx_graph import canonical, round_weights, simplify
from export.parity import ROUNDED, Artifact
from keras_vae.errors import ModelError, UsageError, first_line

OPSET = 17
OPSETS = (17, 18)


def write_onnx(
    vae,
    folder: Path,
    *,
    opset: int = OPSET,
    weights: str = "float32",
    with_encoder: bool = False,
) -> list[Artifact]:
    """Writes `decoder.onnx` and `generator.onnx`.

    With rounded weights it writes only the decoder, `decoder_float16.onnx` or
    `decoder_int8.onnx`, which is smaller; it still computes in float32.

    Args:
        vae: the model whose decoder is written.
        folder: existing folder.
        opset: version of the ONNX operator set, 17 or 18.
        weights: `float32`, `float16` or `int8`.
        with_encoder: whether to write `encoder.onnx` and `score.onnx`, too; see
            `export.encoder`.

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
        round_weights(decoder.graph, weights)
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
        *(_write_encoder(vae, folder, opset) if with_encoder else []),
    ]


def _write_encoder(vae, folder, opset):
    from export.runtimes.python_onnxruntime import load_encoder, load_score

    functions = {
        "encoder": encode_function(encoder_mean(vae)),
        "score": score_function(vae),
    }
    for name, function in functions.items():
        model = convert(function, name, opset)
        for value in [*model.graph.input, *model.graph.output]:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
        _save(model, folder / f"{name}.onnx", vae)
    return [
        Artifact("encoder.onnx", encode=load_encoder(folder / "encoder.onnx")),
        Artifact("score.onnx", score=load_score(folder / "score.onnx")),
    ]


def _save(model, path, vae):
    import onnx

    facts = {f"keras_vae.{key}": str(value) for key, value in describe(vae).items()}
    onnx.helper.set_model_props(model, facts)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        cause = first_line(error)
        raise ModelError(f"{path.name} would not be valid ONNX: {cause}") from error
    onnx.save_model(model, path)


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
        with _collected_soon():
            model, _ = tf2onnx.convert.from_function(
                function,
                input_signature=function.input_signature,
                opset=opset,
                custom_op_handlers={"Erfc": (_erfc, []), "Expm1": (_expm1, [])},
            )
    except Exception as error:  # tf2onnx's errors have no common class
        cause = first_line(error)
        raise ModelError(f"tf2onnx cannot convert the {name}: {cause}") from error
    finally:
        logger.setLevel(level)
    for node in model.graph.node:
        if not onnx.defs.has(node.op_type, opset, node.domain):
            raise ModelError(
                f"The {name} uses the operator {node.op_type}, which ONNX opset "
                f"{opset} does not have; use a layer made of standard operators."
            )
    simplify(model)
    return canonical(model, name)


@contextlib.contextmanager
def _collected_soon():
    """Frees memory that is let go in cycles, among few objects, as soon as it can be.

    tf2onnx copies a graph and its weights dozens of times, and Python counts objects,
    not bytes. What was there before is left out of it.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(700, 1, 1)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


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
