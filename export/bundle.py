"""What an export folder says about itself: `manifest.json` and `parity.json`."""

import hashlib
import json
from pathlib import Path

import keras_vae
from export.parity import BATCH_SIZES, TOLERANCE


def describe(vae) -> dict:
    """Facts about a decoder that a user of its artifacts needs.

    Args:
        vae: the model whose decoder is exported.

    Returns:
        dict of JSON values.
    """
    from keras_vae.likelihoods import LIKELIHOODS
    from keras_vae.priors import PRIORS

    return {
        "version": keras_vae.__version__,
        "latent_dim": vae.latent_dim,
        "image_shape": list(vae.image_shape),
        "num_classes": vae.num_classes,
        "prior": _name(vae.prior, PRIORS),
        "likelihood": _name(vae.likelihood, LIKELIHOODS),
    }


def _name(part, table):
    names = [name for name, kind in table.items() if type(part) is kind]
    return names[0] if names else type(part).__name__


def weights_sha256(vae) -> str:
    """One hash of everything learned that decides what images look like.

    Args:
        vae: gives `decoder`, `likelihood` and `prior`.

    Returns:
        hexadecimal SHA-256 of the weights' shapes and values, in order.
    """
    digest = hashlib.sha256()
    for part in (vae.decoder, vae.likelihood, vae.prior):
        for weight in getattr(part, "weights", ()):
            value = weight.numpy()
            digest.update(f"{value.dtype}{value.shape}".encode())
            digest.update(value.tobytes())
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(
    vae, staging: Path, folder: Path, formats: dict, errors: dict, training: dict | None
) -> list[str]:
    """Writes `manifest.json` and `parity.json` for what is in `staging`.

    Artifacts that `folder` already has are kept in the manifest if they carry the same
    weights.

    Args:
        vae: the model that was exported.
        staging: holds the new artifacts and receives the two files.
        folder: the bundle that they will be moved to.
        formats: from artifact name to format name.
        errors: from artifact name to the largest difference from Keras.
        training: facts about the training, or None.

    Returns:
        Names of artifacts in `folder` that carry other weights, to be removed.
    """
    artifacts = {
        name: {
            "format": formats[name],
            "max_error": error,
            "files": {
                path.relative_to(staging).as_posix(): sha256_of(path)
                for path in sorted([staging / name, *(staging / name).rglob("*")])
                if path.is_file()
            },
        }
        for name, error in errors.items()
    }
    weights, stale = weights_sha256(vae), []
    earlier = _read(folder / "manifest.json")
    if earlier.get("weights_sha256") == weights:
        artifacts = earlier["artifacts"] | artifacts
    else:
        stale = [name for name in earlier.get("artifacts", {}) if name not in artifacts]
    inputs = {"z": {"dtype": "float32", "shape": ["batch", vae.latent_dim]}}
    if vae.num_classes is not None:
        inputs["label"] = {
            "dtype": "int64",
            "shape": ["batch"],
            "range": [0, vae.num_classes - 1],
        }
    manifest = describe(vae) | {
        "inputs": inputs,
        "outputs": {
            "images": {
                "dtype": "float32",
                "shape": ["batch", *vae.image_shape],
                "layout": "NHWC",
                "range": [0.0, 1.0],
            }
        },
        "tolerance": TOLERANCE,
        "weights_sha256": weights,
        "training": training,
        "artifacts": artifacts,
    }
    _write(staging / "manifest.json", manifest)
    parity = {name: artifact["max_error"] for name, artifact in artifacts.items()}
    _write(
        staging / "parity.json",
        {
            "tolerance": TOLERANCE,
            "batch_sizes": BATCH_SIZES,
            "max_error": parity,
        },
    )
    return stale


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _write(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
