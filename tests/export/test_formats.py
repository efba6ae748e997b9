"""Every fact about a format stands in its row of FORMATS and nowhere else."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import export
from export import export_decoder
from export.__main__ import main
from export.formats import FORMATS
from export.manifest import serialized
from export.parity import ROUNDED
from export.runtimes import RUNTIMES
from export.verify import verify
from keras_vae.distributions.table import LIKELIHOODS
from keras_vae.errors import ModelError, UsageError
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp
from keras_vae.networks.table import NETWORKS

ROOT = Path(export.__file__).parent.parent


def test_every_module_of_a_runtime_is_in_one_row():
    files = (ROOT / "export" / "runtimes").glob("*.py")
    modules = [row.runtimes[name].module for name, row in RUNTIMES.items()]
    assert sorted(modules) == sorted({path.stem for path in files} - {"__init__"})
    assert len(RUNTIMES) == sum(len(row.runtimes) for row in FORMATS.values())


def test_extras_to_install_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for row in FORMATS.values():
        for extra in re.findall(r"\[(\w+)\]", row.install):
            assert extra in extras["optional-dependencies"]


def tiny():
    parts = mlp((3, 2, 1), 2, posterior_params=4, likelihood_params=1, hidden=(4,))
    return VAE(*parts)


def test_a_compiler_that_fails_is_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("emx_onnx_cgen", reason="needs '.[c]'")
    c_gcc = pytest.importorskip("export.runtimes.c_gcc", reason="needs gcc")

    def failing(*command, **options):
        raise subprocess.CalledProcessError(1, "gcc", stderr="stdint.h: None\nMore")

    monkeypatch.setattr(c_gcc.subprocess, "run", failing)
    with pytest.raises(ModelError, match=r"^gcc cannot compile c: stdint.h: None$"):
        export_decoder(tiny(), tmp_path / "export", ["c"])
    assert not (tmp_path / "export").exists()


def test_without_a_compiler_it_is_the_compiler_that_is_to_be_installed(
    tmp_path, monkeypatch
):
    monkeypatch.delitem(sys.modules, "export.runtimes.c_gcc", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ImportError, match="install it, on Debian as gcc") as missing:
        export_decoder(tiny(), tmp_path / "export", ["c"])
    assert "pip install" not in str(missing.value)


def test_a_bundle_without_onnx_is_not_said_to_generate(tmp_path, capsys):
    export_decoder(tiny(), tmp_path / "export", ["keras"])
    assert main(["verify", str(tmp_path / "export"), "--trust"]) == 0
    assert capsys.readouterr().out.endswith(f"{tmp_path / 'export'} is whole.\n")


def test_rounded_weights_have_no_batch(tmp_path):
    with pytest.raises(UsageError, match="weights=int8 and batch; leave one of them"):
        export_decoder(tiny(), tmp_path / "a", ["litert"], weights="int8", batch=4)


def test_artifacts_of_a_format_are_opened_as_such():
    onnx, openvino = FORMATS["onnx"], FORMATS["openvino"]
    for name in ("decoder", "generator", "encoder", "score"):
        path = f"{name}.onnx"
        assert onnx.opened(path, [path]) == {name: path}
    path = "decoder_int8.onnx"
    assert onnx.opened(path, [path]) == {"decoder": path}
    both = {name: f"openvino/{name}.xml" for name in ("decoder", "generator")}
    assert openvino.opened("openvino", both.values()) == both
    path = "openvino_float16/decoder.xml"
    assert openvino.opened("openvino_float16", [path]) == {"decoder": path}
    path = "encoder_openvino/encoder.xml"
    assert openvino.opened("encoder_openvino", [path]) == {"encoder": path}
    opened = dict.fromkeys(("decoder", "generator"), "decoder.tflite")
    assert FORMATS["litert"].opened("decoder.tflite", ["decoder.tflite"]) == opened
    opened = {"decoder": "web", "generator": "web"}
    assert FORMATS["web"].opened("web", ["web/decoder.onnx"]) == opened
    opened["encoder"] = "web/encoder.onnx"
    assert FORMATS["web"].opened("web", ["web/encoder.onnx"]) == opened


def test_import_of_export_loads_no_writer():
    code = (
        "import sys, export\n"
        "writers = [name for name in sys.modules if name.startswith('export.to_')]\n"
        "sys.exit(str(writers) if writers else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("name", "package"), [("litert", "ai_edge_litert"), ("openvino", "openvino")]
)
def test_missing_package_names_the_command(monkeypatch, tmp_path, name, package):
    for module in [m for m in sys.modules if m.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"export.runtimes.python_{name}", raising=False)
    with pytest.raises(ImportError, match=rf"run `pip install '.\[{name}\]'`\.$"):
        export_decoder(vae_with("bernoulli"), tmp_path / "export", [name])
    assert list(tmp_path.iterdir()) == []


def vae_with(likelihood, gain=1):
    few = {"num_mixtures": 2} if likelihood.endswith("mixture") else {}
    likelihood = LIKELIHOODS[likelihood](**few)
    parts = mlp(
        (4, 4, 3),
        2,
        posterior_params=4,
        likelihood_params=likelihood.num_params,
        hidden=(6,),
    )
    vae = VAE(*parts, likelihood=likelihood)
    for weight in vae.decoder.weights:
        weight.assign(weight * gain)
    return vae


def exported(vae, folder, options):
    """Exports `vae` with one option to all formats that have it and are installed."""
    for name, row in FORMATS.items():
        # The models of `web` are those of `onnx`; Chromium takes seconds.
        if name == "web" or not {*options} <= {*row.options()}:
            continue
        try:
            export_decoder(vae, folder, [name], **options)
        except ImportError as error:
            if not row.install:
                raise
            print(f"{name} is not exported: {error}")
        except UsageError as error:
            assert "OpenVINO's weights are float32 or float16" in str(error)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_is_right_in_every_format_and_runtime(
    likelihood, tmp_path, short_generator
):
    """With weights so large that careless arithmetic overflows or cancels."""
    vae = vae_with(likelihood, gain=20)
    for options in ({}, {"opset": 18}):
        folder = tmp_path / str(options.get("opset"))
        exported(vae, folder, options)
        checks = verify(folder, trust=True)
        assert {check.runtime for check in checks} >= {"onnxruntime", "numpy", "onnx"}
        for check in checks:
            assert check.error is None or check.error <= 1e-5
            assert check.latents is not False


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_rounded_weights_are_run_by_every_runtime(
    likelihood, tmp_path, short_generator
):
    vae = vae_with(likelihood)
    for weights in ROUNDED:
        exported(vae, tmp_path, {"weights": weights})
    checks = verify(tmp_path)
    for weights in ROUNDED:
        name = f"decoder_{weights}.onnx"
        ran = {c.runtime for c in checks if c.artifact == name and c.error is not None}
        assert ran >= {"onnxruntime", "onnx", "numpy"}
    for check in checks:
        assert check.error is None or check.error < 3e-2


def test_wrong_rounded_artifact_is_found(tmp_path):
    """It is run, at its own tolerance, though no runtime loads it by default."""
    vae = vae_with("bernoulli")
    export_decoder(vae, tmp_path, ["onnx"], weights="float16")
    (error,) = {c.error for c in verify(tmp_path) if c.runtime == "onnxruntime"}
    assert 1e-5 < error < 1e-2
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["artifacts"]["decoder_float16.onnx"] |= {"tolerance": 1e-6, "max_error": 0}
    (tmp_path / "manifest.json").write_text(serialized(manifest))
    with pytest.raises(ModelError, match="decoder_float16.onnx in .* differs from"):
        verify(tmp_path)


@pytest.mark.parametrize("network", ["conv", "plain_conv"])
@pytest.mark.parametrize("name", ["litert", "openvino", "onnx"])
def test_convolutions_of_an_odd_size_convert(network, name, tmp_path):
    """At 13x9 each map but the last is odd; `export_decoder` checks three batches."""
    pytest.importorskip({"litert": "ai_edge_litert"}.get(name, name))
    build = {"posterior_params": 6, "likelihood_params": 1, "hidden": (4, 6)}
    vae = VAE(*NETWORKS[network]((13, 9, 1), 3, **build))
    errors = export_decoder(vae, tmp_path / "export", [name])
    assert max(errors.values()) <= 1e-5
    for check in verify(tmp_path / "export", trust=True):  # in every runtime
        assert check.error is None or check.error <= 1e-5, check
