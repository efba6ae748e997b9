"""The README's code runs as printed."""

import re

import keras
import numpy as np

from keras_vae.train import main as train
from tests.readme_tables import README, updated

README = README.read_text(encoding="utf-8")


def test_tables_say_what_the_code_says():
    assert updated(README) == README, "run python -m tests.readme_tables"


def block(start):
    """The Python block that begins with `start`."""
    (found,) = re.findall(rf"```python\n({re.escape(start)}.*?)```", README, re.S)
    return found


def test_the_python_way_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.clear_session()
    # one epoch of a few images: the same lines, sooner
    code = block("import keras\nfrom keras import layers\n")
    code = code.replace("epochs=2", "epochs=1")
    code = code.replace("train.images", "train.images[:256]")
    scope = {}
    exec(compile(code, "README.md", "exec"), scope)
    assert scope["images"].shape == (64, 28, 28, 1)
    assert (tmp_path / "decoder" / "decoder.onnx").is_file()
    options = "--dataset digits --epochs 1 --hidden 8 --export none"
    assert train(options.split()) == 0
    trained, again = scope["vae"], {}
    code = block("from keras_vae import VAE, load_run\n")
    first, last = code.split("vae, config")
    exec(compile(first, "README.md", "exec"), again)
    np.testing.assert_allclose(
        again["vae"].generate(64, seed=7), trained.generate(64, seed=7), atol=1e-6
    )
    exec(compile("vae, config" + last, "README.md", "exec"), again)
    assert again["config"].hidden == (8,)


def test_the_way_with_a_strategy_runs(small_vae, images):
    """With small networks, on the one device that this process has."""
    parts = small_vae()
    scope = {"keras": keras, "VAE": type(parts)}
    scope |= {"encoder": parts.encoder, "decoder": parts.decoder}
    code = block("import tensorflow as tf\n\nstrategy")
    code = code.replace("MirroredStrategy()", 'MirroredStrategy(["CPU:0"])')
    code = code.replace("train.images", "images").replace("1024", "16")
    exec(compile(code, "README.md", "exec"), scope | {"images": images(40)})


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
