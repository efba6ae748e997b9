"""Bundles with an encoder: files, manifest, golden vectors, and what verify says."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from export import export_decoder
from export.__main__ import main
from export.formats import FORMATS
from export.manifest import serialized
from export.runtimes import python_onnxruntime
from export.verify import check_bundle, verify
from keras_vae.errors import ModelError, UsageError
from keras_vae.files import sha256_of


@pytest.fixture(scope="module")
def original(tmp_path_factory, tiny_vae):
    vae = tiny_vae(num_classes=3)
    folder = tmp_path_factory.mktemp("run") / "export"
    errors = export_decoder(vae, folder, ["onnx", "keras"], with_encoder=True)
    return vae, folder, errors


@pytest.fixture
def bundle(original, tmp_path):
    return Path(shutil.copytree(original[1], tmp_path / "bundle"))


def rewrite(bundle, change):
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(serialized(manifest))


def rewrite_golden(bundle, change):
    path = bundle / "golden.npz"
    with np.load(path) as arrays:
        golden = dict(arrays)
    change(golden)
    np.savez(path, **golden)
    rewrite(bundle, lambda m: m["files"].update({"golden.npz": sha256_of(path)}))


def test_manifest_describes_encoder_and_score(original):
    _, folder, errors = original
    assert {*errors} >= {"encoder.onnx", "score.onnx", "encoder.keras"}
    assert max(errors.values()) <= 1e-5
    parity = json.loads((folder / "parity.json").read_text())["max_error"]
    assert parity == errors
    manifest = check_bundle(folder).manifest
    x = {
        "dtype": "float32",
        "shape": ["batch", 6, 5, 1],
        "layout": "NHWC",
        "range": [0.0, 1.0],
    }
    inputs = {"x": x, "label": {"dtype": "int64", "shape": ["batch"], "range": [0, 2]}}
    latents = {"dtype": "float32", "shape": ["batch", 3]}
    assert manifest["encoder"].pop("weights_sha256")
    assert manifest["encoder"] == {
        "inputs": inputs,
        "outputs": {"mean": latents, "log_var": latents},
        "posterior": "diagonal_gaussian",
        "log_var_given": "x",
    }
    nats = {"dtype": "float32", "shape": ["batch"], "unit": "nats per image"}
    assert manifest["score"] == {
        "inputs": inputs,
        "outputs": {
            "elbo_at_mean": nats,
            "reconstruction": x,
            "mean": latents,
            "log_var": latents,
        },
        "kl_divergence": "closed form",
    }


def test_golden_vectors_hold_images_with_their_encodings(original):
    vae, folder, _ = original
    golden = check_bundle(folder).golden()
    assert golden["x"].shape == (16, 6, 5, 1) and golden["label"].shape == (16,)
    found = vae.encode(golden["x"], golden["label"])
    np.testing.assert_allclose(golden["mean"], found, atol=1e-6)
    found = vae.reconstruct(golden["x"], golden["label"])
    np.testing.assert_allclose(golden["reconstruction"], found, atol=1e-6)
    assert golden["elbo_at_mean"].shape == (16,) and (golden["elbo_at_mean"] < 0).all()
    assert {*golden["x"][8:].ravel()} <= {0, 1}


def test_bundle_without_an_encoder_is_what_it_was(original, tmp_path):
    vae, folder, _ = original
    export_decoder(vae, tmp_path / "export", ["onnx"])
    names = {path.name for path in (tmp_path / "export").iterdir()}
    json_files = {"manifest.json", "parity.json"}
    models = {"decoder.onnx", "generator.onnx"}
    assert names == {*models, *json_files, "golden.npz"}
    for name in models:
        assert sha256_of(tmp_path / "export" / name) == sha256_of(folder / name)
    manifest = json.loads((tmp_path / "export" / "manifest.json").read_text())
    assert not {"encoder", "score"} & {*manifest}
    with np.load(tmp_path / "export" / "golden.npz") as golden:
        assert not {"x", "mean", "log_var", "elbo_at_mean"} & {*golden}


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "web"])
def test_every_format_has_an_encoder(original, tmp_path, name, short_generator):
    """The web page's is tested in a browser, in tests/runtimes."""
    vae = original[0]
    try:
        errors = export_decoder(vae, tmp_path, [name], with_encoder=True)
    except ImportError as error:
        pytest.skip(str(error))
    artifact = FORMATS[name].encoder.split("/")[0]
    assert errors[artifact] <= 1e-5
    checks = [c for c in verify(tmp_path, trust=True) if c.artifact == artifact]
    assert {c.runtime for c in checks if c.error is not None}
    assert all(c.error is None or c.error <= 1e-5 for c in checks)


def test_later_export_keeps_an_encoder_of_the_same_weights(original, tmp_path):
    vae, folder, _ = original
    shutil.copytree(folder, tmp_path / "export")
    export_decoder(vae, tmp_path / "export", ["keras"])
    manifest = check_bundle(tmp_path / "export").manifest
    assert "encoder.onnx" in manifest["artifacts"] and "encoder" in manifest
    assert {c.artifact for c in verify(tmp_path / "export")} >= {"score.onnx"}
    weight = vae.encoder.weights[0]
    before = weight.numpy()
    weight.assign(before + 0.1)  # the decoder's are as they were
    try:
        export_decoder(vae, tmp_path / "export", ["keras"])
    finally:
        weight.assign(before)
    manifest = check_bundle(tmp_path / "export").manifest
    assert "encoder" not in manifest
    names = {path.name for path in (tmp_path / "export").glob("*.*")}
    assert names == {*manifest["artifacts"], *manifest["files"], "manifest.json"}
    assert names >= {"decoder.onnx", "decoder.keras"} and "score.onnx" not in names


def test_verify_runs_encoder_and_score(bundle):
    checks = verify(bundle)
    for artifact in ("encoder.onnx", "score.onnx"):
        ran = {c.runtime for c in checks if c.artifact == artifact and c.error <= 1e-5}
        assert ran == {"onnxruntime", "onnx"}


@pytest.mark.parametrize("name", ["mean", "log_var", "elbo_at_mean", "reconstruction"])
def test_wrong_golden_encodings_are_refused(bundle, name):
    def change(golden):
        golden[name] = golden[name] * np.float32(1.001) + np.float32(1e-4)

    rewrite_golden(bundle, change)
    with pytest.raises(ModelError, match="differs from the golden vectors"):
        verify(bundle)


def test_golden_vectors_of_another_shape_are_refused(bundle):
    rewrite_golden(bundle, lambda golden: golden.update(mean=golden["mean"][:, :2]))
    with pytest.raises(ModelError, match="holds no golden vectors"):
        verify(bundle)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("score"),
        lambda m: m.pop("encoder"),
        lambda m: m["encoder"].pop("inputs"),
        lambda m: m["encoder"]["outputs"]["mean"].update(shape=["batch", 4]),
        lambda m: m["encoder"].update(posterior=3),
        lambda m: m["encoder"].update(log_var_given="<b>"),
        lambda m: m["encoder"].update(weights_sha256="0"),
        lambda m: m["score"].update(kl_divergence="yes"),
        lambda m: m["score"]["outputs"].pop("mean"),
    ],
)
def test_manifest_of_another_encoder_is_refused(bundle, change):
    rewrite(bundle, change)
    with pytest.raises(ModelError, match="is not a manifest of this program"):
        verify(bundle)


def test_what_cannot_be_exported_is_refused_before_anything_is_written(
    tmp_path, tiny_vae
):
    with pytest.raises(UsageError, match="weights=int8 and with_encoder"):
        export_decoder(
            tiny_vae(), tmp_path / "a", ["onnx"], with_encoder=True, weights="int8"
        )
    assert list(tmp_path.iterdir()) == []


def test_command_line_exports_the_encoder(untrained, tmp_path, capsys):
    run = untrained(tmp_path)
    assert main([str(run), "--format", "onnx", "--with-encoder"]) == 0
    output = capsys.readouterr().out
    assert "parity encoder.onnx: " in output
    assert "parity score.onnx: " in output
    assert main(["verify", str(run)]) == 0
    assert "score.onnx" in capsys.readouterr().out


def test_copied_runner_verifies_encoder_and_score(bundle):
    assert python_onnxruntime.verify(bundle) <= 1e-5
    rewrite_golden(bundle, lambda golden: golden.update(log_var=golden["log_var"] + 1))
    with pytest.raises(ValueError, match="Outputs differ from the golden vectors"):
        python_onnxruntime.verify(bundle)
    (bundle / "score.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match="score.onnx is damaged"):
        python_onnxruntime.verify(bundle)
