"""A folder with a page that explores the latent space; any static server serves it.

    python -m http.server --directory RUN/export/web

The page runs `decoder.onnx` and `generator.onnx` in the browser with ONNX Runtime Web
and asks no other server for anything. Its parts are in `export/runtimes/web/`.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np

from export.bundle import describe, describe_encoder
from export.parity import Artifact, passes_noise_on
from export.to_onnx import write_onnx
from keras_vae.files import sha256_of

PAGE = Path(__file__).parent / "runtimes" / "web"
PACKAGE = "onnxruntime-web"
# The build without WebGPU: 14 MB instead of 28 MB.
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
DRAWS = 32


def write_web(
    vae,
    folder: Path,
    *,
    with_encoder: bool = False,
    class_names: list[str] | None = None,
    latent_names: list[str | None] | None = None,
) -> list[Artifact]:
    """Writes `web/`: the page, the models, and ONNX Runtime Web.

    Args:
        vae: the model whose decoder is written.
        folder: existing folder.
        with_encoder: whether the page also encodes pictures, with `encoder.onnx` and
            `score.onnx`.
        class_names: what the page calls the classes; default: their numbers.
        latent_names: the factor that each latent moves, or None, beside its number.

    Returns:
        The artifact; its models are run by ONNX Runtime in Python, which shares the
        arithmetic of the one in the browser.

    Raises:
        ImportError: if the package onnxruntime-web is not installed.
        ModelError: if the decoder uses an operator that ONNX does not have.
    """
    runtime = find_runtime()
    path = folder / "web"
    shutil.copytree(PAGE, path)
    for name in RUNTIME:
        shutil.copyfile(runtime / name, path / name)
    decoder, generator, *others = write_onnx(vae, path, with_encoder=with_encoder)
    facts = describe(vae) | (describe_encoder(vae) if with_encoder else {})
    facts |= {
        "class_names": class_names,
        "latent_names": latent_names,
        "importance": importance(vae, decoder.decode).tolist(),
        "range": latent_range(vae).tolist(),
        "files": {
            file.name: sha256_of(file)
            for file in sorted(path.iterdir())
            if file.is_file()
        },
    }
    text = json.dumps(facts, indent=2) + "\n"
    (path / "manifest.json").write_text(text, encoding="utf-8")
    encoder, score = others or (Artifact("web"), Artifact("web"))
    functions = decoder.decode, generator.generate, encoder.encode, score.score
    return [Artifact(path.name, *functions)]


def find_runtime() -> Path:
    """The folder with the files of ONNX Runtime Web.

    Returns:
        `node_modules/onnxruntime-web/dist` in the folder that the variable
        KERAS_VAE_NODE names, in the working folder, or beside the page.

    Raises:
        ImportError: if it is in none of them.
    """
    for folder in (os.environ.get("KERAS_VAE_NODE"), ".", PAGE.parent):
        if folder is not None:
            path = Path(folder) / "node_modules" / PACKAGE / "dist"
            if all((path / name).is_file() for name in RUNTIME):
                return path
    raise ImportError(
        f"The npm package {PACKAGE} is neither in the node_modules of the working "
        "folder nor of the folder that the variable KERAS_VAE_NODE names"
    )


def importance(vae, decode) -> np.ndarray:
    """How much of the images' variance each latent has a part in.

    The total-effect index of Jansen (1999), "Analysis of variance designs for model
    output": E[(f(z) - f(z'))^2] / 2 over the variance of f, where z' has latent d drawn
    anew. Summed over pixels, in the mean over 32 draws of the prior.

    Args:
        vae: gives `latent_dim`, `num_classes` and `latents`.
        decode: z[, label] -> images, NumPy arrays.

    Returns:
        float64 (latent_dim,), at least 0; 0 for a latent that the decoder ignores.
    """
    dim = vae.latent_dim
    z, other = (vae.latents.draw(seed, DRAWS) for seed in (1, 2))  # (DRAWS, D)
    labels = [np.arange(DRAWS) % vae.num_classes] if vae.num_classes else []
    images = decode(z, *labels).astype(np.float64)  # (DRAWS, H, W, C)
    variance = images.var(axis=0, ddof=1).sum()
    effects = np.zeros(dim)
    for d in range(dim):
        moved = z.copy()
        moved[:, d] = other[:, d]
        effects[d] = ((decode(moved, *labels) - images) ** 2).sum() / (2 * DRAWS)
    return effects / variance if variance > 0 else effects


def latent_range(vae) -> np.ndarray:
    """Between which values each latent lies, but for a few draws in 10,000.

    Args:
        vae: gives `latent_dim` and `latents`.

    Returns:
        float64 (latent_dim, 2), low and high: -4 and 4 for N(0, 1).
    """
    if passes_noise_on(vae):
        return np.tile([-4.0, 4.0], (vae.latent_dim, 1))
    draws = vae.latents.draw(0, 4096)
    mean, spread = draws.mean(0, dtype=np.float64), 4 * draws.std(0, dtype=np.float64)
    return np.round(np.stack([mean - spread, mean + spread], axis=1), 2)
