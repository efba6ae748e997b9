import hashlib
import json
import subprocess
import sys

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

from export import export_decoder
from export.__main__ import main
from export.decoder import decode_function, decoder_mean
from export.formats import FORMATS
from export.parity import Artifact, check_parity
from export.to_onnx import convert, write_onnx
from keras_vae.distributions.table import PRIORS
from keras_vae.errors import ModelError, UsageError
from keras_vae.model import VAE
from keras_vae.networks.layers import ACTIVATIONS
from keras_vae.networks.mlp import mlp
from keras_vae.networks.table import NETWORKS


def decoder_with(layer):
    """A decoder z (3,) -> (6, 5, 1) with `layer` in the middle."""
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(30),
            layer,
            keras.layers.Reshape((6, 5, 1)),
        ]
    )


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tiny_vae):
    vae = tiny_vae()
    folder = tmp_path_factory.mktemp("run") / "export"
    return vae, folder, export_decoder(vae, folder)


def test_export_writes_artifacts_manifest_and_parity(exported):
    vae, folder, errors = exported
    assert sorted(path.name for path in folder.iterdir()) == [
        "decoder.onnx",
        "generator.onnx",
        "golden.npz",
        "manifest.json",
        "parity.json",
        "saved_model",
    ]
    assert set(errors) == {"decoder.onnx", "generator.onnx", "saved_model"}
    assert max(errors.values()) <= 1e-5
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["latent_dim"] == 3
    assert manifest["outputs"]["images"]["shape"] == ["batch", 6, 5, 1]
    files = manifest["artifacts"]["decoder.onnx"]["files"]
    assert files == {"decoder.onnx": sha256(folder / "decoder.onnx")}
    for name, digest in manifest["artifacts"]["saved_model"]["files"].items():
        assert sha256(folder / name) == digest
    parity = json.loads((folder / "parity.json").read_text())
    assert parity["max_error"] == errors
    assert not [p for p in folder.parent.iterdir() if p.name != "export"]


@pytest.mark.parametrize("batch", [0, 1, 7, 64])
def test_onnx_and_saved_model_match_keras_at_every_batch_size(exported, batch):
    import tensorflow as tf

    vae, folder, _ = exported
    z = np.random.default_rng(batch).normal(size=(batch, 3)).astype("f4")
    session = onnxruntime.InferenceSession(folder / "decoder.onnx")
    (images,) = session.run(["images"], {"z": z})
    assert images.shape == (batch, 6, 5, 1)
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    served = loaded.signatures["decode"](z=tf.constant(z))["images"].numpy()
    if batch:
        expected = decoder_mean(vae)(z).numpy()
        np.testing.assert_allclose(images, expected, atol=1e-5, rtol=0)
        np.testing.assert_allclose(served, expected, atol=1e-5, rtol=0)


def test_onnx_names_dimensions_and_metadata(exported):
    _, folder, _ = exported
    model = onnx.load(folder / "decoder.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(v.name, v.type.tensor_type.elem_type) for v in model.graph.input] == [
        ("z", onnx.TensorProto.FLOAT)
    ]
    assert [value.name for value in model.graph.output] == ["images"]
    for value in [*model.graph.input, *model.graph.output]:
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert {o.domain: o.version for o in model.opset_import}[""] == 17
    properties = {p.key: p.value for p in model.metadata_props}
    assert properties["keras_vae.latent_dim"] == "3"
    assert properties["keras_vae.likelihood"] == "bernoulli"
    assert properties["keras_vae.prior"] == "standard_normal"


def test_conditional_decoder_takes_a_label(tmp_path, tiny_vae):
    vae = tiny_vae(num_classes=4)
    assert max(export_decoder(vae, tmp_path / "export").values()) <= 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "export" / "decoder.onnx")
    z = np.zeros((4, 3), np.float32)
    (images,) = session.run(None, {"z": z, "label": np.arange(4)})
    np.testing.assert_allclose(images, vae.decode(z, np.arange(4)), atol=1e-5)
    assert np.abs(images[0] - images[1]).max() > 1e-3


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "celu", "hard_silu"])
def test_activations_convert(activation, tiny_vae):
    # by a Gaussian likelihood, whose mean may well be a sigmoid
    decoder = decoder_with(keras.layers.Activation(activation))
    vae = tiny_vae(decoder=decoder, likelihood="gaussian")
    assert decode_error(vae) <= 1e-5


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("num_classes", [None, 3])
def test_networks_convert(name, num_classes):
    parts = NETWORKS[name](
        (8, 8, 1),
        3,
        posterior_params=6,
        likelihood_params=1,
        hidden=(8,),
        num_classes=num_classes,
    )
    assert decode_error(VAE(*parts, num_classes=num_classes)) <= 1e-5


def decode_error(vae):
    """The largest difference from Keras of the ONNX decoder, in ONNX Runtime."""
    model = convert(decode_function(decoder_mean(vae)), "decoder", 17)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())

    def decode(*inputs):
        feed = dict(zip(("z", "label"), inputs, strict=False))
        return session.run(["images"], feed)[0]

    return check_parity(vae, [Artifact("decoder.onnx", decode)])["decoder.onnx"]


@pytest.mark.parametrize("name", PRIORS)
def test_priors_are_sampled_in_the_graph(tmp_path, name):
    encoder, decoder = mlp(
        (4, 4, 1), 2, posterior_params=4, likelihood_params=1, hidden=(8,)
    )
    vae = VAE(encoder, decoder, prior=name)
    generator = np.random.default_rng(0)
    for weight in vae.prior.weights:
        fan_in = weight.shape[0] if weight.name.endswith("kernel") else 1
        weight.assign(generator.normal(size=weight.shape) / fan_in**0.5)
    errors = check_parity(vae, write_onnx(vae, tmp_path))
    assert max(errors.values()) <= 1e-5


@pytest.mark.parametrize("opset", [17, 18])
def test_onnx_bytes_are_reproducible(tmp_path, opset, tiny_vae):
    vae, digests = tiny_vae(), set()
    for name in "ab":
        (tmp_path / name).mkdir()
        write_onnx(vae, tmp_path / name, opset=opset)
        digests.add(sha256(tmp_path / name / "decoder.onnx"))
        vae = tiny_vae()  # the same seed gives the same weights
    assert len(digests) == 1


def test_unsupported_opset_is_refused(tiny_vae):
    with pytest.raises(UsageError, match="opset must be one of 17, 18, got 99"):
        convert(decode_function(decoder_mean(tiny_vae())), "decoder", 99)


@keras.saving.register_keras_serializable(package="test")
class Digamma(keras.layers.Layer):
    """An operator that ONNX does not have."""

    def call(self, x):
        import tensorflow as tf

        return tf.math.digamma(x)


def test_unconvertible_operator_is_named_and_leaves_no_file(tmp_path, tiny_vae):
    vae = tiny_vae(decoder=decoder_with(Digamma()))
    with pytest.raises(ModelError, match="operator Digamma, which ONNX") as error:
        export_decoder(vae, tmp_path / "export", ["onnx"])
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@keras.saving.register_keras_serializable(package="test")
class Noisy(keras.layers.Layer):
    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x))


@pytest.mark.parametrize("name", FORMATS)
def test_random_decoder_is_refused(tmp_path, name, tiny_vae):
    vae = tiny_vae(decoder=decoder_with(Noisy()))
    try:
        with pytest.raises(ModelError, match="draws random numbers"):
            export_decoder(vae, tmp_path / "export", [name])
    except ImportError as error:
        pytest.skip(str(error))
    assert list(tmp_path.iterdir()) == []


def test_good_artifact_survives_a_failed_export(tmp_path, tiny_vae):
    folder = tmp_path / "export"
    export_decoder(tiny_vae(), folder, ["onnx"])
    before = sha256(folder / "decoder.onnx")
    with pytest.raises(ModelError):
        export_decoder(tiny_vae(decoder=decoder_with(Digamma())), folder, ["onnx"])
    assert sha256(folder / "decoder.onnx") == before
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_second_export_adds_a_format_or_removes_other_weights(tmp_path, tiny_vae):
    folder = tmp_path / "export"
    (folder).mkdir()
    (folder / "notes.txt").write_text("mine")
    vae = tiny_vae()
    export_decoder(vae, folder, ["onnx"])
    export_decoder(vae, folder, ["saved_model"])
    export_decoder(vae, folder, ["saved_model"])  # a folder is replaced, too
    manifest = json.loads((folder / "manifest.json").read_text())
    onnx_files = {"decoder.onnx", "generator.onnx"}
    assert set(manifest["artifacts"]) == onnx_files | {"saved_model"}

    weight = vae.decoder.weights[0]
    weight.assign(weight + 1)
    export_decoder(vae, folder, ["onnx"])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["artifacts"]) == onnx_files
    assert not (folder / "saved_model").exists()
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("onnx", "float16"),
        ("onnx", "int8"),
        ("litert", "float16"),
        ("litert", "int8"),
        ("openvino", "float16"),
    ],
)
def test_rounded_weights_are_smaller_and_their_error_is_measured(
    tmp_path, name, weights
):
    if name != "onnx":
        pytest.importorskip({"litert": "ai_edge_litert"}.get(name, name))
    parts = mlp((14, 14, 1), 8, posterior_params=16, likelihood_params=1, hidden=(64,))
    vae, folder = VAE(*parts), tmp_path / "export"
    ((artifact, error),) = export_decoder(vae, folder, [name], weights=weights).items()
    assert weights in artifact
    assert 1e-6 < error < {"float16": 1e-3, "int8": 3e-2}[weights]
    entry = json.loads((folder / "manifest.json").read_text())["artifacts"][artifact]
    assert entry["max_error"] == error < entry["tolerance"]
    plain = 4 * vae.decoder.count_params()
    ratio = {"float16": 0.7, "int8": 0.5}[weights]
    assert (
        sum((folder / file).stat().st_size for file in entry["files"]) < ratio * plain
    )


def test_option_that_no_format_has_is_refused(tmp_path, tiny_vae):
    for batch in (0, 1025, 100_000_000):
        with pytest.raises(UsageError, match=f"in .1, 1024., got {batch}"):
            export_decoder(tiny_vae(), tmp_path / "export", ["litert"], batch=batch)
    with pytest.raises(UsageError, match="has the option batch; it belongs to litert"):
        export_decoder(tiny_vae(), tmp_path / "export", ["onnx"], batch=4)
    with pytest.raises(UsageError, match="are float32 or float16, got int8"):
        export_decoder(tiny_vae(), tmp_path / "export", ["openvino"], weights="int8")
    with pytest.raises(UsageError, match="Unknown weights 'int9'"):
        export_decoder(tiny_vae(), tmp_path / "export", ["onnx"], weights="int9")
    assert list(tmp_path.iterdir()) == []


def test_litert_has_a_fixed_batch_size(tmp_path, tiny_vae):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    errors = export_decoder(tiny_vae(), tmp_path / "export", ["litert"], batch=5)
    assert set(errors) == {"decoder.tflite", "decoder_batch5.tflite"}
    path = tmp_path / "export" / "decoder_batch5.tflite"
    model = interpreter.Interpreter(str(path))
    assert model.get_input_details()[0]["shape"].tolist() == [5, 3]


def test_unknown_format_is_refused_before_anything_is_written(tmp_path, tiny_vae):
    with pytest.raises(UsageError, match="Did you mean 'onnx'"):
        export_decoder(tiny_vae(), tmp_path / "export", ["onx"])
    with pytest.raises(UsageError, match="Name one or more formats: saved_model, onnx"):
        export_decoder(tiny_vae(), tmp_path / "export", [])
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_a_file_is_refused(tmp_path, tiny_vae):
    (tmp_path / "export").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        export_decoder(tiny_vae(), tmp_path / "export")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}/none"], "There is no run folder"),
        (["{}"], "is no run folder"),
        (["{}", "--format", "onx"], "Unknown export format 'onx'"),
    ],
)
def test_command_line_errors_are_one_line(tmp_path, capsys, arguments, message):
    status = main([argument.format(tmp_path) for argument in arguments])
    captured = capsys.readouterr().err
    assert status > 1
    assert captured.startswith("keras-vae: error: ") and captured.count("\n") == 1
    assert message in captured
    assert list(tmp_path.iterdir()) == []


def test_help_does_not_import_tensorflow():
    code = (
        "import sys; from export.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'onnx', 'tf2onnx'} & {*sys.modules}\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--format" in done.stdout
