import dataclasses
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from export import benchmark, export_decoder, matrix, runtimes
from export.__main__ import main
from export.bundle import training_facts
from export.manifest import serialized
from export.runtimes import RUNTIMES
from export.runtimes.python_onnxruntime import load_decoder
from export.verify import Check, check_bundle, verify
from keras_vae.config import TrainConfig
from keras_vae.distributions.portable_noise import noise
from keras_vae.errors import ModelError, UsageError
from keras_vae.files import sha256_of
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp

RUNNER = Path(runtimes.__file__).parent / "python_onnxruntime.py"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    parts = mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1, hidden=(8,))
    folder = tmp_path_factory.mktemp("run") / "export"
    data = {"name": "digits", "provenance": "In /home/me", "class_names": ["0", "1"]}
    (folder.parent / "config.json").write_text(json.dumps({"seed": 1, "data": data}))
    (folder.parent / "metrics.json").write_text('{"elbo": -100.0}')
    export_decoder(VAE(*parts), folder, training=training_facts(folder.parent))
    return folder


@pytest.fixture
def bundle(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "bundle"))


def rewrite_manifest(bundle, change):
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(serialized(manifest))


def test_facts_hold_the_command_that_trains_such_a_run(tmp_path):
    config = TrainConfig(dataset=str(tmp_path), prior="flow", output=tmp_path / "run")
    (tmp_path / "config.json").write_text(config.to_json())
    command = f"python -m keras_vae.train --dataset {tmp_path.name} --prior flow"
    assert training_facts(tmp_path)["command"] == command  # no path of this machine
    (tmp_path / "config.json").write_text("{}")
    assert "command" not in training_facts(tmp_path)


def test_manifest_describes_the_decoder(original):
    manifest = check_bundle(original).manifest
    assert manifest["inputs"] == {"z": {"dtype": "float32", "shape": ["batch", 3]}}
    assert manifest["outputs"]["images"]["range"] == [0.0, 1.0]
    assert manifest["class_names"] == ["0", "1"]
    assert manifest["training"]["data"]["name"] == "digits"
    assert manifest["training"]["metrics"] == {"elbo": -100.0}
    assert manifest["generator"] == {
        "inputs": {
            "seed": {"dtype": "int64", "shape": [], "range": [0, 2**24 - 1]},
            "num_images": {"dtype": "int64", "shape": [], "range": [1, 2**24]},
        },
        "outputs": {
            "images": {
                "dtype": "float32",
                "shape": ["num_images", 6, 5, 1],
                "layout": "NHWC",
                "range": [0.0, 1.0],
            },
            "z": {"dtype": "float32", "shape": ["num_images", 3]},
        },
        "seed": [0, 2**24 - 1],
        "exact_latents": True,
    }
    assert "/home/me" not in (original / "manifest.json").read_text()
    assert manifest["prior"] == "standard_normal"
    assert set(manifest["libraries"]) >= {"keras", "onnx", "tensorflow"}


def test_no_file_names_a_folder_of_this_machine(original):
    folders = (original.parent, Path.home(), Path(runtimes.__file__).parents[2])
    for path in original.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found = [str(name) for name in folders if str(name).encode() in data]
            assert (path.name, found) == (path.name, [])


@pytest.mark.parametrize(
    ("names", "message"),
    [([1, 2], "Class names must be texts"), (["a"], "2 classes cannot have 1 names")],
)
def test_class_names_that_are_none_are_refused(tmp_path, names, message):
    shape = {"posterior_params": 6, "likelihood_params": 1, "hidden": (8,)}
    vae = VAE(*mlp((6, 5, 1), 3, num_classes=2, **shape), num_classes=2)
    training = {"data": {"class_names": names}}
    with pytest.raises(UsageError, match=message):
        export_decoder(vae, tmp_path / "export", ["onnx"], training=training)
    assert not [*tmp_path.iterdir()]


def test_golden_vectors_hold_the_seeded_latents(original):
    with np.load(original / "golden.npz") as golden:
        assert golden["images"].shape == (16, 6, 5, 1)
        np.testing.assert_array_equal(golden["generated_z"], noise(42, 16, 3)[0])


def test_verify_runs_what_is_installed_but_no_programs(original):
    checks = {check.runtime: check for check in verify(original)}
    assert checks["onnxruntime"].error <= 1e-5 and checks["onnxruntime"].latents
    assert checks["numpy"].error <= 1e-5 and checks["numpy"].latents
    assert checks["tensorflow"].error is None
    assert "--trust" in checks["tensorflow"].note


def test_verify_runs_programs_on_request(original):
    checks = {check.runtime: check for check in verify(original, trust=True)}
    assert checks["tensorflow"].error <= 1e-5 and checks["tensorflow"].latents


def test_command_line_verifies_without_tensorflow(original, capsys):
    code = (
        "import sys; from export.__main__ import main\n"
        "status = main(sys.argv[1:])\n"
        "heavy = {'tensorflow', 'keras'} & {*sys.modules}\n"
        "sys.exit(str(heavy) if heavy else status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "verify", str(original)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "is whole" in done.stdout and "z identical" in done.stdout


def test_command_line_verifies_the_bundle_of_a_run(original, capsys):
    assert main(["verify", str(original.parent)]) == 0
    *lines, place, following = capsys.readouterr().out.splitlines()
    assert place == f"{original} is whole. Next:"
    assert following == f"  python -m keras_vae.generate {original.parent}"
    rows = {tuple(line.split()[:2]) for line in lines}
    assert rows >= {("numpy", "decoder.onnx"), ("numpy", "generator.onnx")}


def test_a_run_without_an_export_is_told_how_to_write_one(tmp_path, capsys):
    (tmp_path / "config.json").touch()
    assert main(["verify", str(tmp_path)]) == 4
    assert f"Write one with `python -m export {tmp_path}`." in capsys.readouterr().err


def test_every_flipped_bit_is_caught(bundle):
    generator = np.random.default_rng(0)
    files = [path for path in sorted(bundle.rglob("*")) if path.is_file()]
    assert len(files) >= 6
    for path in files:
        data = path.read_bytes()
        for position in generator.integers(0, 8 * len(data), 20):
            damaged = bytearray(data)
            damaged[position // 8] ^= 1 << position % 8
            path.write_bytes(damaged)
            with pytest.raises(ModelError):
                check_bundle(bundle)
        path.write_bytes(data)
    check_bundle(bundle)


def test_benchmark_prints_a_row_for_each_runtime(original, monkeypatch):
    monkeypatch.setattr(benchmark, "RUNTIMES", {"numpy": RUNTIMES["numpy"]})
    header, _, row = benchmark.benchmark(original).splitlines()
    assert header.startswith("| runtime | artifact | size, kB | max error |")
    assert row.startswith("| numpy | decoder.onnx | ")


def test_benchmark_runs_no_code_of_a_bundle_without_trust(original, monkeypatch):
    program = dataclasses.replace(RUNTIMES["numpy"], program=True)
    monkeypatch.setattr(benchmark, "RUNTIMES", {"numpy": program})
    *_, last = benchmark.benchmark(original).splitlines()
    assert last == "Not run, for they can hold code: decoder.onnx. See --trust."
    *_, row = benchmark.benchmark(original, trust=True).splitlines()
    assert row.startswith("| numpy | decoder.onnx | ")


def test_matrix_has_a_row_for_each_runtime_and_a_column_for_each_model():
    rows = [Check("numpy", "decoder.onnx", 2e-7, True), Check("c", "c", None)]
    lines = matrix.table({"one": rows, "two": rows}).splitlines()
    assert lines[0] == "| runtime | artifact | one | two |"
    cell = "2.0e-07, z identical"
    assert lines[2] == f"| numpy | decoder.onnx | {cell} | {cell} |"
    assert lines[3] == "| c | c | not installed | not installed |"


def test_missing_file_is_named(bundle):
    (bundle / "generator.onnx").unlink()
    with pytest.raises(ModelError, match="generator.onnx is missing"):
        verify(bundle)


def test_folder_without_manifest_is_refused(tmp_path, capsys):
    assert main(["verify", str(tmp_path)]) == 4
    error = capsys.readouterr().err
    assert "it has no manifest.json" in error and error.count("\n") == 1


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", ""])
def test_path_outside_the_bundle_is_refused(bundle, name):
    (bundle.parent / "secret").write_text("secret")
    digest = sha256_of(bundle.parent / "secret")
    rewrite_manifest(bundle, lambda manifest: manifest["files"].update({name: digest}))
    with pytest.raises(ModelError, match="outside the bundle"):
        verify(bundle)


def test_link_is_refused(bundle):
    target = bundle.parent / "decoder.onnx"
    os.rename(bundle / "decoder.onnx", target)
    os.symlink(target, bundle / "decoder.onnx")
    with pytest.raises(ModelError, match="is a link"):
        verify(bundle)


def test_external_data_is_refused(bundle):
    path = bundle / "decoder.onnx"
    onnx.save_model(
        onnx.load(path),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    entry = {"decoder.onnx": sha256_of(path)}
    rewrite_manifest(
        bundle, lambda m: m["artifacts"]["decoder.onnx"].update({"files": entry})
    )
    with pytest.raises(ModelError, match="refers to other files"):
        verify(bundle)
    with pytest.raises(Exception, match="[Ee]xternal"):
        load_decoder(path)


def test_decoder_with_a_weight_named_location_is_not_refused(bundle):
    path = bundle / "decoder.onnx"
    model = onnx.load(path)
    old, new = model.graph.initializer[0].name, "location"
    model.graph.initializer[0].name = new
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
    onnx.save_model(model, path)
    entry = {"decoder.onnx": sha256_of(path)}
    rewrite_manifest(
        bundle, lambda m: m["artifacts"]["decoder.onnx"].update({"files": entry})
    )
    checks = verify(bundle)
    assert {c.runtime for c in checks if c.error is not None} >= {"onnxruntime"}


def test_pickled_golden_vectors_are_refused(bundle):
    path = bundle / "golden.npz"
    np.savez(path, z=np.array([{"a": 1}], object))
    rewrite_manifest(
        bundle, lambda m: m["files"].update({"golden.npz": sha256_of(path)})
    )
    with pytest.raises(ModelError, match="holds no golden vectors"):
        verify(bundle)


def test_huge_golden_vectors_are_refused(bundle):
    path = bundle / "golden.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("z.npy", "w") as member:
            for _ in range(257):
                member.write(bytes(2**20))
    rewrite_manifest(
        bundle, lambda m: m["files"].update({"golden.npz": sha256_of(path)})
    )
    with pytest.raises(ModelError, match="too large"):
        verify(bundle)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"files": 1}'])
def test_broken_manifest_is_refused(bundle, text):
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match="is damaged"):
        verify(bundle)


def test_wrong_images_are_refused(bundle):
    with np.load(bundle / "golden.npz") as arrays:
        golden = dict(arrays)
    golden["images"] = golden["images"] + np.float32(1e-4)
    np.savez(bundle / "golden.npz", **golden)
    digest = sha256_of(bundle / "golden.npz")
    rewrite_manifest(bundle, lambda m: m["files"].update({"golden.npz": digest}))
    with pytest.raises(ModelError, match="differs from the golden vectors by 1.0e-04"):
        verify(bundle)


def test_copied_runner_verifies_decodes_and_generates(bundle, tmp_path):
    """In a folder of its own, with numpy and onnxruntime only."""
    script = shutil.copy(RUNNER, tmp_path)
    np.save(tmp_path / "z.npy", np.zeros((2, 3)))
    blocked = (
        "import runpy, sys\n"
        "for name in ('keras_vae', 'export', 'tensorflow', 'onnx', 'PIL', 'tyro'):\n"
        "    sys.modules[name] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )

    def run(*arguments):
        command = [sys.executable, "-c", blocked, script, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    assert run("verify", "bundle")[0] == 0
    code, output = run("generate", "bundle", "--seed", "42", "images.npy")
    assert code == 0, output
    assert np.load(tmp_path / "images.npy").shape == (64, 6, 5, 1)
    code, output = run("decode", "bundle", "z.npy", "decoded.npy")
    assert code == 0, output
    assert np.load(tmp_path / "decoded.npy").shape == (2, 6, 5, 1)
    path = bundle / "decoder.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    code, output = run("verify", "bundle")
    assert code == 1 and "damaged" in output
