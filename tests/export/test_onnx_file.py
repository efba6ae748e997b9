import contextlib
import functools

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from export import export_decoder
from export.onnx_file import MESSAGES, check_onnx, part_for
from keras_vae.distributions.flow import Flow
from keras_vae.errors import ModelError
from keras_vae.generate import ExportedDecoder
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """A model whose draws are products of matrices, and its bundle."""
    keras.utils.set_random_seed(0)
    parts = mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1, hidden=(8,))
    vae = VAE(*parts, prior=Flow(3, num_couplings=2, hidden=4))
    folder = tmp_path_factory.mktemp("flow") / "export"
    export_decoder(vae, folder, ["onnx"])
    return vae, folder


def external():
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "w")
    tensor.ClearField("raw_data")
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "secret"
    return tensor


def model(nodes=(), weights=(), **fields):
    graph = helper.make_graph(nodes, "graph", [], [], weights)
    return helper.make_model(graph, **fields)


def test_weights_in_another_file_are_found_wherever_they_hide():
    constant = helper.make_node("Constant", [], ["c"], value=external())
    branch = helper.make_graph([constant], "branch", [], [])
    sparse = onnx.SparseTensorProto()
    sparse.values.CopyFrom(external())
    function = helper.make_function(
        "d", "f", [], ["c"], [constant], [helper.make_opsetid("", 17)]
    )
    hidden = model()
    hidden.graph.sparse_initializer.append(sparse)
    flagged = numpy_helper.from_array(np.zeros(3, np.float32), "w")
    flagged.data_location = onnx.TensorProto.EXTERNAL
    for found in (
        model(weights=[external()]),
        model(weights=[flagged]),
        model([constant]),
        model([helper.make_node("If", ["x"], ["c"], then_branch=branch)]),
        model(functions=[function]),
        hidden,
    ):
        with pytest.raises(ModelError, match="refers to other files"):
            check_onnx("decoder.onnx", found.SerializeToString())


def test_name_location_is_no_reference_to_other_files():
    weight = numpy_helper.from_array(np.zeros(3, np.float32), "location")
    weight.data_location = onnx.TensorProto.DEFAULT
    check_onnx("decoder.onnx", model(weights=[weight]).SerializeToString())


def test_every_way_to_a_tensor_is_searched():
    """The table's fields are those of onnx's own description of the format."""
    ways, waiting = {}, [onnx.ModelProto.DESCRIPTOR]
    seen = {}
    while waiting:
        message = waiting.pop()
        if message.name not in seen:
            seen[message.name] = {
                field.number: field.message_type.name
                for field in message.fields
                if field.message_type is not None
            }
            waiting += [f.message_type for f in message.fields if f.message_type]
    leading = {"TensorProto"}
    while True:  # until no more messages lead to one that leads to a tensor
        more = {name for name, fields in seen.items() if {*fields.values()} & leading}
        if more <= leading:
            break
        leading |= more
    for name in leading:
        ways[name] = {k: kind for k, kind in seen[name].items() if kind in leading}
    assert ways == MESSAGES


def test_damaged_onnx_never_crashes_the_search(flow):
    data = (flow[1] / "generator.onnx").read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(data[: generator.integers(len(data) + 1)])
        for position in generator.integers(0, max(len(damaged), 1), 3):
            damaged[position : position + 1] = bytes([generator.integers(256)])
        for read in (check_onnx, functools.partial(part_for, output="z")):
            with contextlib.suppress(ModelError):
                read("generator.onnx", bytes(damaged))


# === A part of a model ===


def session(data):
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def test_a_part_gives_what_the_whole_gives(flow):
    path = flow[1] / "generator.onnx"
    whole, part = path.read_bytes(), part_for(path, path.read_bytes(), "z")
    model = onnx.load_from_string(part)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.output] == ["z"]
    shapes = {tuple(weight.dims) for weight in model.graph.initializer}
    assert (3, 4) in shapes or (4, 6) in shapes  # of the flow
    assert not {(3, 8), (8, 30)} & shapes  # of the decoder
    feed = {"seed": np.int64(7), "num_images": np.int64(50)}
    feed = {name: np.array(value) for name, value in feed.items()}
    for name in ("z", "images"):
        both = part_for(path, whole, name)
        (found,) = session(both).run([name], feed)
        np.testing.assert_array_equal(found, session(whole).run([name], feed)[0])


def test_the_images_of_a_draw_are_not_decoded_twice(flow):
    decoder = ExportedDecoder(flow[1])
    assert [value.name for value in decoder._draws.get_outputs()] == ["z"]
    expected = flow[0].generate(20, seed=3)
    np.testing.assert_allclose(decoder.generate(20, seed=3), expected, atol=1e-5)


def test_a_graph_in_a_node_may_use_anything():
    branch = helper.make_graph(
        [helper.make_node("Identity", ["y"], ["b"])],
        "branch",
        [],
        [helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, [1])],
    )
    nodes = [
        helper.make_node("Neg", ["x"], ["y"]),
        helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch),
    ]
    data = model(nodes).SerializeToString()
    assert part_for("a.onnx", data, "z") == data


@pytest.mark.parametrize("data", [b"", b"junk", model().SerializeToString()[:-1]])
def test_what_is_no_model_has_no_part(data):
    with pytest.raises(ModelError, match="a.onnx is not an ONNX file"):
        part_for("a.onnx", data, "z")
