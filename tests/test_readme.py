"""The README's code runs as printed."""

import re
from pathlib import Path

import keras
import numpy as np

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def block(start):
    """The Python block that begins with `start`."""
    (found,) = re.findall(rf"```python\n({re.escape(start)}.*?)```", README, re.S)
    return found


def test_the_python_way_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.clear_session()
    # one epoch of a few images: the same lines, sooner
    code = block("import keras\n").replace("epochs=2", "epochs=1")
    code = code.replace("train.images", "train.images[:256]")
    scope = {}
    exec(compile(code, "README.md", "exec"), scope)
    assert scope["images"].shape == (64, 28, 28, 1)
    assert (tmp_path / "decoder" / "decoder.onnx").is_file()
    again = keras.saving.load_model(tmp_path / "vae.keras")
    np.testing.assert_allclose(again.generate(64, seed=7), scope["images"], atol=1e-6)


def test_the_onnx_way_runs(tmp_path, monkeypatch):
    from export import export_decoder
    from keras_vae.config import TrainConfig
    from keras_vae.runs.build import build_vae

    monkeypatch.chdir(tmp_path)
    vae = build_vae(TrainConfig(hidden=(8,)), (28, 28, 1), num_images=1)
    export_decoder(vae, tmp_path / "saved_models/vae/export", ["onnx"])
    code = block("import numpy as np\nimport onnxruntime")
    assert len(code.strip().splitlines()) <= 10
    exec(compile(code, "README.md", "exec"), {})
    grid = np.loadtxt("grid.pgm", skiprows=1)
    assert grid.shape == (224, 224)
    assert 0 <= grid.min() < grid.max() <= 255
