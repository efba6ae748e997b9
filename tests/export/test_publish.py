import json
import multiprocessing
import os
import shutil
import threading
from pathlib import Path

import pytest

from export import export_decoder
from export.publish import MARKER, NOTE, staging_folder
from export.reader import read_bundle, serialized
from export.verify import check_bundle
from keras_vae.errors import OutputError
from keras_vae.model import VAE
from keras_vae.networks import mlp


def tiny_vae():
    return VAE(*mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1, hidden=(8,)))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "export"
    export_decoder(tiny_vae(), folder, ["keras"])
    return folder


@pytest.fixture
def bundle(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "run" / "export"))


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["../model.keras", "../checkpoints", "../../victim"])
def test_hostile_manifest_moves_nothing_outside_the_bundle(bundle, tmp_path, name):
    (bundle.parent / "model.keras").write_text("weights")
    for folder in (bundle.parent / "checkpoints", tmp_path / "victim"):
        folder.mkdir()
        (folder / "file").write_text("mine")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["weights_sha256"] = "of other weights"
    entry = manifest["artifacts"].pop("decoder.keras")
    manifest["artifacts"][name] = entry
    (bundle / "manifest.json").write_text(serialized(manifest))
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="manifest.json is in the way"):
        export_decoder(tiny_vae(), bundle, ["keras"])
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "text",
    ["[]", '"text"', "[" * 100_000, "{}", '{"artifacts": null}', "null", "\ud800"],
)
def test_file_that_is_no_manifest_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "manifest.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(OutputError, match="is no manifest of an earlier") as error:
        export_decoder(tiny_vae(), tmp_path, ["keras"])
    assert "\n" not in str(error.value)
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("change", [{"artifacts": None}, "max_error"])
def test_manifest_with_parts_missing_is_refused(bundle, change):
    manifest = json.loads((bundle / "manifest.json").read_text())
    if change == "max_error":
        del manifest["artifacts"]["decoder.keras"]["max_error"]
    else:
        manifest |= change
    (bundle / "manifest.json").write_text(serialized(manifest))
    with pytest.raises(OutputError, match="is no manifest of an earlier export"):
        export_decoder(tiny_vae(), bundle, ["keras"])


@pytest.mark.parametrize("name", ["decoder.keras", "golden.npz"])
def test_file_of_somebody_else_is_not_replaced(tmp_path, name):
    path = tmp_path / "export" / name
    path.parent.mkdir()
    path.write_text("mine")
    with pytest.raises(OutputError, match=f"{name} is in the way"):
        export_decoder(tiny_vae(), path.parent, ["keras"])
    assert path.read_text() == "mine"
    assert [*path.parent.iterdir()] == [path]


def test_link_is_not_followed_or_replaced(tmp_path):
    target, path = tmp_path / "target", tmp_path / "export" / "decoder.keras"
    target.write_text("mine")
    path.parent.mkdir()
    path.symlink_to(target)
    with pytest.raises(OutputError, match="decoder.keras is in the way"):
        export_decoder(tiny_vae(), path.parent, ["keras"])
    assert target.read_text() == "mine" and path.is_symlink()


@pytest.mark.parametrize("same_weights", [True, False])
def test_artifact_that_was_changed_is_kept(bundle, same_weights):
    (bundle / "decoder.keras").write_text("changed")
    vae = tiny_vae()
    if not same_weights:
        vae.decoder.weights[0].assign(vae.decoder.weights[0] + 1)
    with pytest.raises(OutputError, match="decoder.keras is in the way"):
        export_decoder(vae, bundle, ["onnx"])
    assert (bundle / "decoder.keras").read_text() == "changed"
    assert not (bundle / "decoder.onnx").exists()


def test_folder_with_a_file_of_the_user_is_kept(tmp_path):
    vae = tiny_vae()
    export_decoder(vae, tmp_path / "export", ["saved_model"])
    notes = tmp_path / "export" / "saved_model" / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(OutputError, match="saved_model is in the way"):
        export_decoder(vae, tmp_path / "export", ["saved_model"])
    assert notes.read_text() == "mine"


def test_artifact_that_was_deleted_leaves_the_manifest(bundle):
    (bundle / "decoder.keras").unlink()
    export_decoder(tiny_vae(), bundle, ["onnx"])
    manifest = check_bundle(bundle).manifest
    assert set(manifest["artifacts"]) == {"decoder.onnx", "generator.onnx"}


def test_exports_at_the_same_time_end_in_one_whole_bundle(tmp_path):
    vae, faults = tiny_vae(), []

    def export(name):
        try:
            export_decoder(vae, tmp_path / "export", [name])
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=export, args=[n]) for n in ("keras", "onnx")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    manifest = check_bundle(tmp_path / "export").manifest
    onnx_files = {"decoder.onnx", "generator.onnx"}
    assert set(manifest["artifacts"]) == onnx_files | {"decoder.keras"}
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def die_in_staging(folder):
    with staging_folder(folder) as staging:
        (staging / "decoder.onnx").write_text("half")
        os._exit(1)


def test_leftovers_of_a_killed_export_are_removed_and_others_are_not(tmp_path):
    process = multiprocessing.get_context("fork").Process(
        target=die_in_staging, args=[tmp_path / "export"]
    )
    process.start()
    process.join()
    (leftover,) = tmp_path.iterdir()
    theirs = tmp_path / ".export.partial-theirs"
    theirs.mkdir()
    with staging_folder(tmp_path / "export") as alive:
        export_decoder(tiny_vae(), tmp_path / "export", ["keras"])
        assert not leftover.exists()
        assert alive.is_dir() and theirs.is_dir()
    assert not (tmp_path / "export" / "decoder.onnx").exists()


def test_export_killed_while_moving_files_is_brought_to_its_end(bundle):
    """The new decoder is in its place already, the manifest still the old one."""
    vae = tiny_vae()
    vae.decoder.weights[0].assign(vae.decoder.weights[0] + 1)
    other = bundle.parent / "other"
    export_decoder(vae, other, ["keras"])
    (other / MARKER).write_text(NOTE)
    os.replace(other / "decoder.keras", bundle / "decoder.keras")
    os.rename(other, bundle.parent / ".export.partial-killed")
    export_decoder(vae, bundle, ["onnx"])
    manifest = check_bundle(bundle).manifest
    onnx_files = {"decoder.onnx", "generator.onnx"}
    assert set(manifest["artifacts"]) == onnx_files | {"decoder.keras"}
    assert read_bundle(bundle).manifest == manifest
    assert [path.name for path in bundle.parent.iterdir()] == ["export"]
