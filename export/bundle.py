"""The bundle: artifacts, a manifest that describes them, vectors to check them with.

`manifest.json` says what goes in and comes out, names every file with its SHA-256, and
where the weights come from. `golden.npz` holds latents and seeds with the images that
Keras gives for them, so that any runtime can check itself without Keras.
"""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np

import keras_vae
from export.formats import has_encoder
from export.manifest import (
    GIVEN,
    KL,
    are_latent_names,
    encoder_signature,
    serialized,
    signature,
)
from export.parity import BATCH_SIZES, TOLERANCE, Artifact, passes_noise_on
from export.reader import Bundle
from keras_vae.errors import ModelError, UsageError, shown
from keras_vae.files import sha256_of

GOLDEN_SEED, GOLDEN_IMAGES = 42, 16
# Of what the run notes about its data. Not where it came from: that names local paths.
DATA_FACTS = ("name", "image_shape", "num_classes", "num_images", "class_names")


def describe(vae) -> dict:
    """Facts about a decoder that a user of its artifacts needs.

    Args:
        vae: the model whose decoder is exported.

    Returns:
        dict of JSON values.
    """
    from keras_vae.distributions.levels import TopPrior
    from keras_vae.distributions.table import LIKELIHOODS, PRIORS

    prior = vae.prior.top if isinstance(vae.prior, TopPrior) else vae.prior
    return {
        "version": keras_vae.__version__,
        "latent_dim": vae.latent_dim,
        "image_shape": list(vae.image_shape),
        "num_classes": vae.num_classes,
        "prior": _name(prior, PRIORS),
        "likelihood": _name(vae.likelihood, LIKELIHOODS),
    }


def describe_encoder(vae):
    """Facts about an encoder and a score that a user of their artifacts needs.

    Args:
        vae: the model whose encoder is exported; see `export.encoder`.

    Returns:
        dict of JSON values: `encoder` and `score`.
    """
    from keras_vae.distributions.table import POSTERIORS

    facts = encoder_signature(vae.latent_dim, list(vae.image_shape), vae.num_classes)
    facts["encoder"] |= {
        "posterior": _name(vae.posterior, POSTERIORS),
        "log_var_given": GIVEN[bool(vae.latents.networks)],
        "weights_sha256": encoder_sha256(vae),
    }
    facts["score"]["kl_divergence"] = KL[not vae.latents.has_closed_form_kl]
    return facts


def _name(part, table):
    names = [name for name, kind in table.items() if type(part) is kind]
    return names[0] if names else type(part).__name__


def training_facts(run: Path) -> dict:
    """What a decoder was trained on, and how well it does, from its run folder.

    Args:
        run: the folder that `keras_vae.train` wrote.

    Returns:
        dict with `command`, which trains such a run, `data` (name, sizes, class names)
        and `metrics`; empty without the files. A path of this machine is cut to its
        last part.
    """
    data = _read(run / "config.json").get("data", {})
    facts = {
        "command": _command(run / "config.json"),
        "data": {name: data[name] for name in DATA_FACTS if name in data},
        "metrics": _read(run / "metrics.json"),
    }
    return {name: _public(value) for name, value in facts.items() if value}


def _command(path):
    """The command that makes a run, or None where its config.json cannot be read."""
    from keras_vae.runs.folder import read_config
    from keras_vae.runs.typed import command_of

    try:
        config, data = read_config(path)
    except (ModelError, OSError):
        return None
    known = data.get("refit") if isinstance(data, dict) else None
    return command_of(
        dataclasses.replace(config, dataset=_public(config.dataset)), known
    )


def _public(value):
    if isinstance(value, dict):
        return {name: _public(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_public(item) for item in value]
    if isinstance(value, str) and os.path.isabs(value) and os.path.exists(value):
        return os.path.basename(os.path.normpath(value))
    return value


def class_names(training: dict | None, num_classes: int | None) -> list[str] | None:
    """The names of the classes, from the facts about a training.

    Args:
        training: see `training_facts`; or None.
        num_classes: of a conditional model, or None.

    Raises:
        UsageError: if they are not texts, or not one for each class.
    """
    names = (training or {}).get("data", {}).get("class_names")
    if names is None:
        return None
    names = list(names)
    if not all(isinstance(name, str) for name in names):
        raise UsageError(f"Class names must be texts, got {names}.")
    if num_classes is not None and len(names) != num_classes:
        raise UsageError(f"{num_classes} classes cannot have {len(names)} names.")
    return names


def latent_names(training: dict | None, latent_dim: int) -> list[str | None] | None:
    """The factor that each latent moves, where `keras_vae.evaluate` has found that out.

    Args:
        training: see `training_facts`; or None.
        latent_dim: D.

    Returns:
        D texts, or None for a latent without a name; None where factors are unknown.

    Raises:
        UsageError: if they are something else.
    """
    found = (training or {}).get("metrics")
    for name in ("disentanglement", "latent_names"):
        found = found.get(name) if isinstance(found, dict) else None
    if found is not None and not are_latent_names(found, latent_dim):
        raise UsageError(
            f"The metrics do not hold a short name, or null, for each of {latent_dim} "
            f"latents, but {shown(found)}; run keras_vae.evaluate again."
        )
    return found


def weights_sha256(vae) -> str:
    """One hash of everything learned that decides what images look like.

    Args:
        vae: gives `decoder`, `likelihood` and `prior`.

    Returns:
        hexadecimal SHA-256 of the weights' shapes and values, in order.
    """
    return _sha256_of_weights(vae.decoder, vae.likelihood, vae.prior)


def encoder_sha256(vae) -> str:
    """One hash of everything else learned that decides where images are encoded."""
    return _sha256_of_weights(vae.encoder, vae.posterior)


def _sha256_of_weights(*parts):
    digest = hashlib.sha256()
    for part in parts:
        for weight in part.weights:
            value = weight.numpy()
            digest.update(f"{value.dtype}{value.shape}".encode())
            digest.update(value.tobytes())
    return digest.hexdigest()


def golden_vectors(vae, with_encoder: bool = False) -> dict[str, np.ndarray]:
    """Inputs with the images that Keras gives for them.

    Args:
        vae: the model that is exported.
        with_encoder: whether it is exported with its encoder.

    Returns:
        z (16, D), label (16,) where there are classes, images (16, H, W, C), for
        `decode`; seed, num_images, generate_label (-1 where there are no classes),
        generated_z (16, D), generated_images (16, H, W, C) for `generate`; with the
        encoder x (16, H, W, C), which goes with label, mean and log_var (16, D),
        elbo_at_mean (16,) and reconstruction (16, H, W, C).
    """
    from export.decoder import decoder_mean
    from export.encoder import golden_encodings

    model = decoder_mean(vae)

    def images(z, label):
        return model([z, label] if vae.num_classes else z, training=False).numpy()

    z = vae.latents.draw(GOLDEN_SEED + 1, GOLDEN_IMAGES).copy()
    z[:2] = 0  # the origin, and a 4-sigma point; see `parity_batches`
    z[1, 0] = 4
    label = np.arange(GOLDEN_IMAGES) % (vae.num_classes or 1)
    generate_label = vae.num_classes - 1 if vae.num_classes else -1
    generated_z = vae.latents.draw(GOLDEN_SEED, GOLDEN_IMAGES)
    vectors = {
        "z": z,
        "images": images(z, label),
        "seed": np.int64(GOLDEN_SEED),
        "num_images": np.int64(GOLDEN_IMAGES),
        "generate_label": np.int64(generate_label),
        "generated_z": generated_z,
        "generated_images": images(
            generated_z, np.full(GOLDEN_IMAGES, generate_label, np.int64)
        ),
    }
    vectors |= {"label": label} if vae.num_classes else {}
    return vectors | (golden_encodings(vae, vectors) if with_encoder else {})


def write_manifest(
    vae,
    staging: Path,
    earlier: Bundle | None,
    artifacts: dict[str, list[Artifact]],
    errors: dict[str, float],
    training: dict | None,
    with_encoder: bool = False,
) -> None:
    """Writes `manifest.json`, `golden.npz` and `parity.json` for what is in `staging`.

    Artifacts that an earlier export left stay in the manifest if they carry the same
    weights and are still there.

    Args:
        vae: the model that was exported.
        staging: holds the new artifacts and receives the files.
        earlier: the bundle that they will be moved to, or None.
        artifacts: from format name to what was written.
        errors: from artifact name to the largest difference from Keras.
        training: facts about the training, or None.
        with_encoder: whether encoders are among the artifacts.
    """
    entries = {
        artifact.name: {
            "format": name,
            "max_error": errors[artifact.name],
            "tolerance": artifact.tolerance,
            "files": _files(staging, artifact.name),
        }
        for name, written in artifacts.items()
        for artifact in written
    }
    weights = weights_sha256(vae)
    described = signature(vae.latent_dim, list(vae.image_shape), vae.num_classes)
    described["generator"]["exact_latents"] = passes_noise_on(vae)
    if earlier is not None and earlier.manifest["weights_sha256"] == weights:
        kept = _kept(earlier, vae)
        with_encoder |= any(map(has_encoder, (kept | entries).values()))
        entries = kept | entries
    golden = golden_vectors(vae, with_encoder)
    np.savez(staging / "golden.npz", **golden)  # pyright: ignore
    parity = {name: entry["max_error"] for name, entry in entries.items()}
    parity = {"batch_sizes": BATCH_SIZES, "tolerance": TOLERANCE, "max_error": parity}
    (staging / "parity.json").write_text(json.dumps(parity, indent=2) + "\n")
    files = _files(staging, "golden.npz") | _files(staging, "parity.json")
    described |= describe_encoder(vae) if with_encoder else {}
    names = {
        "class_names": class_names(training, vae.num_classes),
        "latent_names": latent_names(training, vae.latent_dim),
    }
    manifest = describe(vae) | names | described
    manifest |= {
        "tolerance": TOLERANCE,
        "weights_sha256": weights,
        "libraries": _libraries(),
        "training": training,
        "files": files,
        "artifacts": entries,
    }
    (staging / "manifest.json").write_bytes(serialized(manifest).encode())


def _kept(earlier, vae):
    """The entries of what is still there, but for encoders of other weights."""
    kept = earlier.manifest["artifacts"].items()
    kept = {name: entry for name, entry in kept if earlier.locate(name).exists()}
    facts = earlier.manifest.get("encoder")
    if facts is None or facts["weights_sha256"] == encoder_sha256(vae):
        return kept
    return {name: entry for name, entry in kept.items() if not has_encoder(entry)}


def _libraries():
    from importlib.metadata import version

    names = ("keras", "numpy", "onnx", "onnxruntime", "tensorflow", "tf2onnx")
    return {name: version(name) for name in names}


def _files(folder, name):
    paths = sorted([folder / name, *(folder / name).rglob("*")])
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in paths
        if path.is_file()
    }


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
