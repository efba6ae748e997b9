import json
import subprocess
import sys

import numpy as np
import pytest

from export import export_decoder
from export.manifest import serialized
from export.reader import find_bundle, read_bundle
from export.verify import verify
from keras_vae.errors import ModelError
from keras_vae.files import sha256_of
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    parts = mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1, hidden=(8,))
    folder = tmp_path_factory.mktemp("run") / "export"
    export_decoder(VAE(*parts), folder, ["onnx"])
    return folder


def changed(original, folder, change):
    """A bundle of the manifest alone, changed, with a checksum that agrees."""
    manifest = json.loads((original / "manifest.json").read_text())
    change(manifest)
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(serialized(manifest))
    return folder


def set_entry(**values):
    return lambda manifest: manifest["artifacts"]["decoder.onnx"].update(values)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(artifacts=None),
        lambda m: m.update(artifacts=[]),
        lambda m: m.update(files=[]),
        lambda m: m.update(latent_dim="3"),
        lambda m: m.update(latent_dim=True),
        lambda m: m.update(image_shape=[6, 5]),
        lambda m: m.update(num_classes=0),
        lambda m: m.update(generator=None),
        lambda m: m.update(weights_sha256=1),
        lambda m: m["artifacts"]["decoder.onnx"].pop("max_error"),
        lambda m: m["artifacts"].update({"decoder.onnx": 3}),
        set_entry(tolerance=1e9),
        set_entry(tolerance=float("nan")),
        set_entry(max_error="0"),
        set_entry(files={}),
        set_entry(files={"generator.onnx": ""}),
        set_entry(files={"decoder.onnx": 1}),
        set_entry(format=["onnx"]),
    ],
)
def test_manifest_of_other_types_or_ranges_is_refused(original, tmp_path, change):
    with pytest.raises(ModelError, match="is not a manifest of this program"):
        read_bundle(changed(original, tmp_path, change))


@pytest.mark.parametrize(
    "name", ["../x", "..", "/x", "a/../../x", "a//b", "a\\b", "C:x", "a\0", ".", ""]
)
def test_artifact_outside_the_bundle_is_refused(original, tmp_path, name):
    entry = {"format": "onnx", "max_error": 0.0, "tolerance": 1e-5, "files": {name: ""}}
    change = lambda m: m["artifacts"].update({name: entry})  # noqa: E731
    with pytest.raises(ModelError, match="a file outside the bundle"):
        read_bundle(changed(original, tmp_path, change))


def test_file_that_is_not_in_the_manifest_is_not_read(original):
    with pytest.raises(ModelError, match="does not describe notes.txt"):
        read_bundle(original).read("notes.txt")


def test_file_beside_those_of_an_artifact_is_refused(original, tmp_path):
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "page").write_text("")
    files = {"web/page": sha256_of(folder / "page")}
    entry = {"format": "web", "max_error": 0.0, "tolerance": 1e-5, "files": files}
    change = lambda m: m.update(artifacts={"web": entry})  # noqa: E731
    bundle = read_bundle(changed(original, tmp_path, change))
    bundle.check("web")
    (folder / "other").write_text("")
    with pytest.raises(ModelError, match="web/other is not in the manifest"):
        bundle.check("web")


def test_onnx_file_under_another_suffix_is_not_run(original, tmp_path):
    (tmp_path / "decoder.bin").write_bytes((original / "decoder.onnx").read_bytes())
    for name in ("golden.npz", "parity.json"):
        (tmp_path / name).write_bytes((original / name).read_bytes())
    files = {"decoder.bin": sha256_of(tmp_path / "decoder.bin")}
    entry = {"format": "onnx", "max_error": 0.0, "tolerance": 1e-5, "files": files}
    change = lambda m: m.update(artifacts={"decoder.bin": entry})  # noqa: E731
    with pytest.raises(ModelError, match="has the format 'onnx', which"):
        verify(changed(original, tmp_path, change))


@pytest.mark.parametrize(
    "change",
    [
        lambda golden: golden.pop("images"),
        lambda golden: golden.update(other=np.zeros(1)),
        lambda golden: golden.update(z=golden["z"][:0], images=golden["images"][:0]),
        lambda golden: golden.update(z=golden["z"].astype("f8")),
        lambda golden: golden.update(num_images=np.int64(10**12)),
        lambda golden: golden.update(seed=np.int64(2**24)),
        lambda golden: golden.update(generate_label=np.int64(0)),
    ],
)
def test_golden_vectors_of_another_decoder_are_refused(original, tmp_path, change):
    with np.load(original / "golden.npz") as arrays:
        golden = dict(arrays)
    change(golden)
    np.savez(tmp_path / "golden.npz", **golden)
    digest = sha256_of(tmp_path / "golden.npz")
    renew = lambda m: m["files"].update({"golden.npz": digest})  # noqa: E731
    with pytest.raises(ModelError, match="holds no golden vectors"):
        read_bundle(changed(original, tmp_path, renew)).golden()


def test_run_folder_stands_for_its_bundle(original):
    assert find_bundle(original.parent) == original == find_bundle(original)


def test_reader_is_light():
    code = (
        "import sys, export.reader\n"
        "heavy = {'tensorflow', 'keras', 'onnx', 'onnxruntime'} & {*sys.modules}\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0
