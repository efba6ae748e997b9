import gc
import json
import os
import sys

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# XLA takes seconds for each small model, and keeps 20 MB. Tests that are about it ask.
os.environ.setdefault("KERAS_VAE_XLA", "0")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where everything is installed (CI), a skipped test hides something: it fails."""
    report = yield
    if report.skipped and os.environ.get("KERAS_VAE_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
    return report


@pytest.fixture(scope="module", autouse=True)
def _collected():
    """Lets go of what a file leaves behind."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _forgotten_graphs():
    """Lets go of what TensorFlow keeps of each training's graph, after each test.

    Any use of `tf.custom_gradient`, as in the optimizers of Keras, leaves a function in
    a registry, and with it the graph (TensorFlow's issue 97697): gigabytes in a run,
    which Python goes through again and again as it looks for garbage.
    """
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import ops

        registry = ops.gradient_registry._registry
        for name in [name for name in registry if name.startswith("CustomGradient-")]:
            del registry[name]


@pytest.fixture
def xla(monkeypatch):
    """XLA compiles, as it does by default."""
    monkeypatch.delenv("KERAS_VAE_XLA")


@pytest.fixture(scope="session")
def images():
    """Makes random images, uint8 (N, H, W, C)."""

    def images(number, shape=(6, 5, 1), seed=0):
        return np.random.default_rng(seed).integers(0, 256, (number, *shape), np.uint8)

    return images


@pytest.fixture(scope="session")
def small_vae():
    """Makes a compiled VAE of small networks, three steps a call, without XLA."""
    import keras

    from keras_vae.model import VAE
    from keras_vae.networks.mlp import mlp

    def small_vae(shape=(6, 5, 1), latent_dim=3, seed=1, num_classes=None, **kwargs):
        encoder, decoder = mlp(
            shape,
            latent_dim,
            posterior_params=2 * latent_dim,
            likelihood_params=1,
            hidden=(8,),
            num_classes=num_classes,
            seed=seed,
        )
        vae = VAE(encoder, decoder, seed=seed, num_classes=num_classes, **kwargs)
        adam = keras.optimizers.Adam(1e-2)
        vae.compile(adam, steps_per_execution=3, jit_compile=False)
        return vae

    return small_vae


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    """Images of three classes: a bright row at the top, the middle, the bottom."""
    path = tmp_path_factory.mktemp("data") / "rows.npz"
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 80)
    images = rng.integers(0, 60, (80, 6, 5), np.uint8)
    images[np.arange(80), 2 * labels] = 250
    np.savez(
        path,
        x_train=images[:60],
        y_train=labels[:60],
        x_test=images[60:],
        y_test=labels[60:],
    )
    return path


@pytest.fixture(scope="session")
def untrained(rows):
    """Makes a run of `rows` that was never trained: other models, at once."""
    from keras_vae.config import TrainConfig
    from keras_vae.runs.build import build_vae

    def untrained(folder, **options):
        config = TrainConfig(
            **{"dataset": str(rows), "hidden": (8,), "latent_dim": 4, **options}
        )
        vae = build_vae(config, (6, 5, 1), 3, num_images=54)
        vae.compile()
        vae.save(folder / "model.keras")
        facts = {
            "name": "rows",
            "image_shape": (6, 5, 1),
            "num_classes": 3,
            "num_images": 54,
            "class_names": ["top", "middle", "bottom"],
        }
        config = json.loads(config.to_json()) | {"data": facts}
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return untrained
