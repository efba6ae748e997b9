"""What the faults are tried on: a model, its run, its bundle, never trained."""

import json
from pathlib import Path

import numpy as np

from export import export_decoder
from keras_vae.config import TrainConfig
from keras_vae.model import VAE
from keras_vae.runs.build import build_vae
from keras_vae.runs.folder import RunFolder
from keras_vae.runs.model_file import save_model


def model(seed: int = 0, **options) -> tuple[VAE, dict]:
    """A small model, and its config.json; another seed, other weights."""
    options = {"dataset": "digits", "hidden": (8,), "latent_dim": 3} | options
    config = TrainConfig(seed=seed, **options)
    facts = {
        "name": Path(config.dataset).stem,
        "image_shape": [6, 5, 1],
        "num_classes": 3,
        "num_images": 54,
        "class_names": ["top", "middle", "bottom"],
    }
    vae = build_vae(config, (6, 5, 1), 3, num_images=54)
    vae.compile()
    return vae, json.loads(config.to_json()) | {"data": facts}


def write_run(folder: Path, seed: int = 0, **options) -> VAE:
    """Writes config.json, model.keras and SHA256SUMS; gives the model."""
    vae, config = model(seed, **options)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_model(vae, RunFolder(folder))
    return vae


def write_images(path: Path, sides: tuple[int, int] = (6, 5)) -> None:
    """Writes images that the runs may have been trained on, of three classes."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (80, *sides), np.uint8), np.arange(80) % 3
    train, test = slice(60), slice(60, 80)
    arrays = {"x_train": images[train], "y_train": labels[train]}
    np.savez(path, x_test=images[test], y_test=labels[test], **arrays)


def write_bundle(folder: Path, formats=("onnx",), seed: int = 0, **options) -> VAE:
    """Writes a bundle; gives the model."""
    vae, _ = model(seed, **options)
    export_decoder(vae, folder, formats)
    return vae
