"""What `manifest.json` must hold: a stranger's data, checked before it is used."""

import hashlib
import json
import re
from pathlib import PurePosixPath

from export.parity import ROUNDED
from keras_vae.distributions.portable_noise import MAX_IMAGES, MAX_SEED
from keras_vae.errors import ModelError

MOST = 2**16  # latents, classes, pixels in a row or column
MAX_TOLERANCE = max(ROUNDED.values())
GIVEN = ("x", "x and the means of the levels above")  # what log_var is given
KL = ("closed form", "log q(mean|x) - log p(mean)")  # how a score takes it
MAX_TEXT = 255  # characters of a name
SHA256 = re.compile("[0-9a-f]{64}")


def serialized(manifest: dict) -> str:
    """The manifest's one text, which ends with its own SHA-256.

    Args:
        manifest: JSON values; a key `sha256` is replaced.

    Returns:
        str, so that a change of any byte in it can be seen.
    """
    manifest = {name: value for name, value in manifest.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(manifest).encode()).hexdigest()
    return json.dumps(manifest | {"sha256": digest}, indent=2) + "\n"


def signature(latent_dim: int, image_shape: list[int], num_classes: int | None) -> dict:
    """What goes into decoder and generator, and what comes out.

    Args:
        latent_dim: D.
        image_shape: [H, W, C].
        num_classes: of a conditional model, or None.

    Returns:
        dict of JSON values: `inputs`, `outputs`, `generator`.
    """

    def images(batch):
        return {
            "dtype": "float32",
            "shape": [batch, *image_shape],
            "layout": "NHWC",
            "range": [0.0, 1.0],
        }

    def whole(shape, lowest, highest):
        return {"dtype": "int64", "shape": shape, "range": [lowest, highest]}

    inputs = {"z": {"dtype": "float32", "shape": ["batch", latent_dim]}}
    calls = {
        "seed": whole([], 0, MAX_SEED - 1),
        "num_images": whole([], 1, MAX_IMAGES),
    }
    if num_classes is not None:
        inputs["label"] = whole(["batch"], 0, num_classes - 1)
        calls["label"] = whole([], 0, num_classes - 1)
    return {
        "inputs": inputs,
        "outputs": {"images": images("batch")},
        "generator": {
            "inputs": calls,
            "outputs": {
                "images": images("num_images"),
                "z": {"dtype": "float32", "shape": ["num_images", latent_dim]},
            },
            "seed": [0, MAX_SEED - 1],
        },
    }


def encoder_signature(
    latent_dim: int, image_shape: list[int], num_classes: int | None
) -> dict:
    """What goes into encoder and score, and what comes out.

    Args:
        latent_dim: D.
        image_shape: [H, W, C].
        num_classes: of a conditional model, or None.

    Returns:
        dict of JSON values: `encoder` and `score`, each with `inputs` and `outputs`.
    """
    of_decoder = signature(latent_dim, image_shape, num_classes)
    images, labels = of_decoder["outputs"]["images"], of_decoder["inputs"]
    inputs = {"x": images} | {k: v for k, v in labels.items() if k == "label"}
    latents = {"dtype": "float32", "shape": ["batch", latent_dim]}
    encoded = {"mean": latents, "log_var": latents}
    nats = {"dtype": "float32", "shape": ["batch"], "unit": "nats per image"}
    scored = {"elbo_at_mean": nats, "reconstruction": images, **encoded}
    return {
        "encoder": {"inputs": inputs, "outputs": encoded},
        "score": {"inputs": inputs, "outputs": scored},
    }


def check_manifest(manifest: dict) -> None:
    """Refuses what this program does not write.

    Args:
        manifest: JSON values.

    Raises:
        ModelError: if a name leads out of the bundle.
        TypeError: if any other value is not what the program writes; also KeyError,
            ValueError, AttributeError.
    """
    dim, classes = manifest["latent_dim"], manifest["num_classes"]
    height, width, channels = shape = manifest["image_shape"]
    sizes = [dim, height, width, channels, *([] if classes is None else [classes])]
    _require(type(shape) is list, *(type(n) is int and 0 < n <= MOST for n in sizes))
    expected = signature(dim, shape, classes)
    exact = {"exact_latents": manifest["generator"]["exact_latents"]}
    expected["generator"] |= exact
    _require(type(exact["exact_latents"]) is bool)
    _require(*(manifest[name] == value for name, value in expected.items()))
    _require(
        *(_is_short(manifest[name]) for name in ("version", "prior", "likelihood"))
    )
    libraries = manifest["libraries"]
    _require(*(_is_short(text) for item in libraries.items() for text in item))
    names = manifest["class_names"]
    if names is not None:
        _require(type(names) is list, *(type(name) is str for name in names))
        _require(classes is None or len(names) == classes)
    if "latent_names" in manifest:  # since version 0.1 was first written
        names = manifest["latent_names"]
        _require(names is None or are_latent_names(names, dim))
    if "encoder" in manifest or "score" in manifest:
        _check_encoder(manifest, encoder_signature(dim, shape, classes))
    _require(manifest["training"] is None or type(manifest["training"]) is dict)
    _require(0 < manifest["tolerance"] <= MAX_TOLERANCE)
    _require(SHA256.fullmatch(manifest["weights_sha256"]))
    _check_artifacts(manifest["artifacts"], manifest["files"])


def _check_encoder(manifest, expected):
    encoder, score = manifest["encoder"], manifest["score"]
    _require(_is_short(encoder["posterior"]), encoder["log_var_given"] in GIVEN)
    _require(SHA256.fullmatch(encoder["weights_sha256"]))
    _require(score["kl_divergence"] in KL)
    for facts, names in ((encoder, expected["encoder"]), (score, expected["score"])):
        _require(*(facts[name] == value for name, value in names.items()))


def are_latent_names(names, latent_dim: int) -> bool:
    """Whether a JSON value is a list with a short text or None for each latent."""
    known = type(names) is list and len(names) == latent_dim
    return known and all(name is None or _is_short(name) for name in names)


def _check_artifacts(artifacts, files):
    _check_files(files)
    _require("golden.npz" in files, not any("/" in name for name in files))
    for artifact, entry in artifacts.items():
        _check_names([artifact])
        _check_files(entry["files"])
        _require("/" not in artifact, artifact not in {*files, "manifest.json"})
        owned = (name.split("/")[0] == artifact for name in entry["files"])
        _require(_is_short(entry["format"]), entry["files"], all(owned))
        _require(0 < entry["tolerance"] <= MAX_TOLERANCE)
        _require(0 <= entry["max_error"] <= entry["tolerance"])


def _require(*conditions):
    if not all(conditions):
        raise TypeError("not what the program writes")


def _is_short(text):
    return type(text) is str and 0 < len(text) <= MAX_TEXT and text.isprintable()


def _check_files(files):
    _check_names(files)
    _require(*(SHA256.fullmatch(digest) for digest in files.values()))


def _check_names(names):
    for name in names:
        parts = PurePosixPath(name).parts
        odd = {*"\\:"} & {*name} or any(part[0] == "." for part in parts)
        odd = odd or not name.isprintable() or len(name.encode()) > MAX_TEXT
        if odd or not parts or parts[0] == "/" or "/".join(parts) != name:
            raise ModelError(f"It names a file outside the bundle: {name[:60]!r}.")
