import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from keras_vae.errors import ModelError, UsageError
from keras_vae.metrics import features
from keras_vae.metrics.features import SHIPPED, Extractor, shipped_extractor

FOLDER = Path(features.__file__).parent / "extractors"


def graph_of(nodes, shape, kind=TensorProto.FLOAT, inputs=1, weights=()):
    """The bytes of an ONNX file that computes `y` of `x`."""
    names = ["x", "other"][:inputs]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name in names],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return model.SerializeToString()


def pixels(shape):
    """An extractor whose features are the pixels that it sees."""
    flat = helper.make_node("Flatten", ["x"], ["y"])
    return Extractor("pixels", graph_of([flat], shape))


@pytest.mark.parametrize("channels", SHIPPED)
def test_shipped_extractors_are_small_and_say_what_they_are(channels):
    extractor = shipped_extractor(channels)
    data = (FOLDER / f"{extractor.name}.onnx").read_bytes()
    assert len(data) < 400_000
    assert extractor.sha256 == hashlib.sha256(data).hexdigest()
    size = 28 if channels == 1 else 32
    assert extractor.image_shape == (size, size, channels)
    assert extractor.num_features == 64
    facts = {p.key: p.value for p in onnx.load_from_string(data).metadata_props}
    assert facts["keras_vae.dataset"] == extractor.name.split("_")[0]
    assert float(facts["keras_vae.label_accuracy"]) > 0.7


def test_a_damaged_extractor_is_not_used(monkeypatch):
    monkeypatch.setitem(features.SHIPPED, 1, ("mnist_28x28x1", "0" * 64))
    with pytest.raises(ModelError, match="is damaged: its SHA-256 is not"):
        shipped_extractor(1)


@pytest.mark.parametrize("channels", SHIPPED)
def test_features_order_digits_by_what_was_done_to_them(channels):
    """More noise, more blur and a wider gap in the strokes: farther away."""
    from keras_vae.data.sources import digits
    from keras_vae.metrics.distances import frechet_distance

    images = digits("digits").splits["train"].images[::5]
    if channels == 3:  # red on white
        images = np.concatenate(
            [np.full_like(images, 255), 255 - images, 255 - images], 3
        )
    reference, images = images[::2], images[1::2]
    extractor = shipped_extractor(channels)

    def distance(changed):
        return frechet_distance(extractor(changed), extractor(reference))

    def gap(rows):
        changed = images.copy()
        changed[:, 14 - rows // 2 : 14 + (rows + 1) // 2] = images[:, :1, :1]
        return changed

    def noise(size):
        draws = np.random.default_rng(0).normal(0, size, images.shape)
        return np.clip(images / 255 + draws, 0, 1)

    def blur(size):  # down and up again
        pictures = (Image.fromarray(image.squeeze()) for image in images)
        small = (picture.resize((28 // size,) * 2) for picture in pictures)
        smooth = [np.asarray(picture.resize((28, 28))) for picture in small]
        return np.reshape(smooth, images.shape)

    for worse in ([gap(1), gap(4)], [noise(0.1), noise(0.4)], [blur(2), blur(4)]):
        distances = [distance(images), *map(distance, worse)]
        assert distances[0] < distances[1] < distances[2]


def test_layouts_and_pixel_types_see_the_same(images):
    x = images(5, (6, 4, 3))
    last = pixels(["batch", 6, 4, 3])
    first = pixels(["batch", 3, 6, 4])
    assert first.image_shape == last.image_shape == (6, 4, 3)
    expected = x.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(last(x), expected.reshape(5, -1))
    np.testing.assert_array_equal(last(expected), last(x))  # rounded to 8 bits
    planes = expected.transpose(0, 3, 1, 2).reshape(5, -1)
    np.testing.assert_array_equal(first(x), planes)
    assert last.num_features == 72


def test_images_are_scaled_and_turned_grey_by_pillow(images):
    x = images(3, (10, 8, 3))
    extractor = pixels(["batch", 4, 6, 1])
    expected = [
        np.asarray(Image.fromarray(image).convert("L").resize((6, 4), Image.BICUBIC))
        for image in x
    ]
    np.testing.assert_array_equal(
        extractor(x), np.reshape(expected, (3, 24)).astype(np.float32) / 255
    )
    grey = images(3, (4, 6, 1))
    color = pixels(["batch", 4, 6, 3])(grey).reshape(3, 4, 6, 3)
    np.testing.assert_array_equal(color, np.repeat(grey, 3, 3).astype("f4") / 255)


@pytest.mark.parametrize("shape", [[None, None, None, 1], [1, 4, 4, 1]])
def test_free_sizes_and_a_batch_of_one_do(shape, images):
    nodes = [
        helper.make_node("GlobalAveragePool", ["t"], ["y"]),
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
    ][::-1]
    extractor = Extractor("mean", graph_of(nodes, shape))
    x = images(7, (4, 4, 1))
    found = extractor(x)
    assert found.shape == (7, 1)
    np.testing.assert_allclose(found[:, 0], x.mean(axis=(1, 2, 3)) / 255, rtol=1e-6)


def test_features_of_batches_are_those_of_all(images):
    extractor, x = pixels(["batch", 4, 4, 1]), images(700, (4, 4, 1))
    parts = extractor.of(iter([x[:300], x[300:]]), 700, "images", progress=False)
    np.testing.assert_array_equal(parts, extractor(x))


def external(tmp_path):
    """Weights in another file of the machine."""
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [4], np.zeros(4))
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "secret.bin"), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    node = helper.make_node("Add", ["x", "w"], ["y"])
    return graph_of([node], ["batch", 4, 4, 1], weights=[tensor])


def hostile(tmp_path):
    flat = helper.make_node("Flatten", ["x"], ["y"])
    image = ["batch", 4, 4, 1]
    same = helper.make_node("Identity", ["x"], ["y"])
    constant = helper.make_node("Constant", [], ["y"], value_float=1.0)
    log = [
        helper.make_node("Log", ["x"], ["l"]),
        helper.make_node("Flatten", ["l"], ["y"]),
    ]
    whole = graph_of([flat], image)
    return {
        "nothing": (b"", "cannot read"),
        "text": (b"a model\n", "cannot read"),
        "cut": (whole[:-20], "cannot read"),
        "external": (external(tmp_path), "cannot read"),
        "rank": (graph_of([flat], ["batch", 16]), "takes tensor(float)"),
        "channels": (graph_of([flat], ["batch", 4, 4, 2]), "1 or 3 channels"),
        "batch": (graph_of([flat], [8, 4, 4, 1]), "takes tensor(float)"),
        "none": (graph_of([constant], image, inputs=0), "takes nothing"),
        "scalar": (graph_of([same], []), "takes tensor(float)"),
        "huge": (graph_of([flat], ["batch", 2**30, 4, 1]), "rows and columns"),
        "two": (graph_of([flat], image, inputs=2), "takes tensor(float)"),
        "infinite": (graph_of(log, image), "NaN or beyond 1e+09"),
        "wide": (graph_of([flat], ["batch", 99, 99, 1]), "9,801 features"),
        "operator": (
            graph_of([helper.make_node("Evil", ["x"], ["y"], domain="evil")], image),
            "cannot read",
        ),
        "shape": (
            graph_of(
                [helper.make_node("MatMul", ["x", "x"], ["y"])], ["b", "h", "w", 1]
            ),
            "cannot take images",
        ),
    }


CASES = (
    "nothing",
    "text",
    "cut",
    "external",
    "rank",
    "channels",
    "batch",
    "two",
    "none",
)


@pytest.mark.parametrize(
    "case", [*CASES, "scalar", "huge", "infinite", "wide", "operator", "shape"]
)
def test_a_file_that_is_no_extractor_is_told_in_a_sentence(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, message = hostile(tmp_path)[case]
    with pytest.raises(ModelError) as error:
        Extractor(f"{case}.onnx", data)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith((f"{case}.onnx", "ONNX Runtime"))


@pytest.mark.parametrize("channels", [2, 4])
def test_images_of_other_channels_have_no_features(channels):
    with pytest.raises(UsageError, match=f"these have {channels} channels"):
        shipped_extractor(channels)
    with pytest.raises(UsageError, match=f"these have {channels} channels"):
        shipped_extractor(3)(np.zeros((2, 8, 8, channels), np.uint8))
