import errno
import json
import multiprocessing
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from export import export_decoder
from export.manifest import serialized
from export.publish import EARLIER, MARKER, MOVING, NOTE, settle, staging_folder
from export.reader import read_bundle
from export.verify import check_bundle, verify
from keras_vae.errors import OutputError
from keras_vae.files import sha256_of
from keras_vae.generate import generate
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp


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
    theirs, empty = (tmp_path / f".export.partial-{n}" for n in ("theirs", "empty"))
    theirs.mkdir()
    (theirs / "file").write_text("mine")
    empty.mkdir()  # a kill came before anything was in it
    with staging_folder(tmp_path / "export") as alive:
        export_decoder(tiny_vae(), tmp_path / "export", ["keras"])
        assert not leftover.exists() and not empty.exists()
        assert alive.is_dir() and (theirs / "file").is_file()
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


def test_bundle_is_the_new_one_while_its_files_are_on_their_way(bundle):
    """As a kill leaves it, right after the manifest has taken its place."""
    vae = tiny_vae()
    vae.decoder.weights[0].assign(vae.decoder.weights[0] + 1)
    moving = bundle / MOVING
    export_decoder(vae, moving, ["onnx"])
    (moving / MARKER).write_text(NOTE)
    (moving / EARLIER).mkdir()
    shutil.copy(bundle / "manifest.json", moving / EARLIER)
    old = read_bundle(bundle).manifest
    assert check_bundle(bundle).manifest == old
    os.replace(moving / "manifest.json", bundle / "manifest.json")
    new = check_bundle(bundle)
    artifacts, files = new.manifest["artifacts"], new.manifest["files"]
    assert new.manifest["weights_sha256"] != old["weights_sha256"]
    assert new.locate("decoder.onnx") == moving / "decoder.onnx"
    assert {check.artifact for check in verify(bundle)} == {*artifacts}
    images = generate(bundle, 3, seed=1)
    settle(bundle)
    names = {path.name for path in bundle.iterdir()}
    assert names == {*artifacts, *files, "manifest.json"}
    np.testing.assert_array_equal(generate(bundle, 3, seed=1), images)
    settle(bundle)
    assert check_bundle(bundle).manifest == new.manifest


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_something_else_by_the_name_of_what_is_on_its_way_is_kept(bundle, kind):
    path = bundle / MOVING
    if kind == "folder":
        path.mkdir()
        (path / "decoder.keras").write_text("mine")
    elif kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to(bundle)
    check_bundle(bundle)
    with pytest.raises(OutputError, match=".moving is in the way"):
        export_decoder(tiny_vae(), bundle, ["keras"])
    assert os.path.lexists(path)
    check_bundle(bundle)


def test_nothing_of_a_stranger_leads_out_of_the_bundle(bundle, tmp_path):
    """What is on its way there names files elsewhere, and links to folders."""
    victims = [bundle.parent / "model.keras", tmp_path / "victim"]
    for victim in victims:
        victim.write_text("mine")
    copied = shutil.copytree(bundle, tmp_path / "copied")
    moving = Path(shutil.move(copied, bundle / MOVING))
    (moving / "manifest.json").unlink()
    (moving / MARKER).write_text(NOTE)
    (moving / ".replaced").symlink_to(tmp_path)
    (moving / EARLIER).mkdir()
    manifest = json.loads((bundle / "manifest.json").read_text())
    for name in ("../model.keras", "../../victim", str(victims[1])):
        entry = manifest["artifacts"]["decoder.keras"]
        entry = entry | {"files": {name: sha256_of(victims[0])}}
        text = serialized(manifest | {"artifacts": {name: entry}})
        (moving / EARLIER / "manifest.json").write_text(text)
    ignored = shutil.ignore_patterns(MOVING)
    killed = bundle.parent / ".export.partial-killed"
    shutil.copytree(bundle, killed, ignore=ignored)
    (killed / MARKER).write_text(NOTE)
    (killed / EARLIER).symlink_to(tmp_path)  # a manifest was to be copied there
    export_decoder(tiny_vae(), bundle, ["keras"])
    assert [victim.read_text() for victim in victims] == ["mine", "mine"]
    assert {path.name for path in tmp_path.iterdir()} == {"run", "victim"}
    assert {path.name for path in bundle.parent.iterdir()} == {"export", "model.keras"}
    check_bundle(bundle)
    assert not moving.exists()


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_killed_export_that_is_not_complete_is_not_published(bundle, damage):
    killed = bundle.parent / ".export.partial-killed"
    vae = tiny_vae()
    vae.decoder.weights[0].assign(vae.decoder.weights[0] + 1)
    export_decoder(vae, killed, ["onnx"])
    (killed / MARKER).write_text(NOTE)
    decoder = killed / "decoder.onnx"
    decoder.write_bytes(decoder.read_bytes()[:100])
    if damage == "missing":
        decoder.unlink()
    before = check_bundle(bundle).manifest["weights_sha256"]
    export_decoder(tiny_vae(), bundle, ["keras"])
    manifest = check_bundle(bundle).manifest
    assert manifest["weights_sha256"] == before
    assert set(manifest["artifacts"]) == {"decoder.keras"}
    assert [path.name for path in bundle.parent.iterdir()] == ["export"]


def test_disk_that_is_full_is_an_error_that_names_the_bundle(bundle, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = contents(bundle.parent)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"export cannot be written \(No space left"):
        export_decoder(tiny_vae(), bundle, ["keras"])
    assert contents(bundle.parent) == before
