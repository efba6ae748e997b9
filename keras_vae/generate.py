"""`python -m keras_vae.generate RUN`: images from its exported decoder.

ONNX Runtime runs the decoder and NumPy makes the noise; TensorFlow is never imported.
The same seed gives the images that `VAE.generate` gives.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import tyro
from tqdm import trange

from keras_vae.cli import command, conclude
from keras_vae.distributions.portable_noise import (
    MAX_LATENT_DIM,
    MAX_SEED,
    check_seed,
    check_temperature,
    noise,
)
from keras_vae.errors import (
    KerasVAEError,
    ModelError,
    UsageError,
    first_line,
    to_type,
)
from keras_vae.files import check_file

BATCH = 1024  # images decoded in one call: bounds the memory
MANY = 10_000  # images in a picture that takes more than a second to write


@dataclasses.dataclass(frozen=True)
class GenerateConfig:
    """Generate images from an exported decoder, without TensorFlow.

    Examples:
      python -m keras_vae.generate saved_models/vae
      python -m keras_vae.generate saved_models/vae --num-images 100 --seed 7
      python -m keras_vae.generate saved_models/vae --label 3 --output threes.png
    """

    run: tyro.conf.Positional[Path] = Path("saved_models/mnist")
    """A run folder, or its export folder."""
    num_images: int = 64
    """Images in the grid."""
    seed: int = 0
    """Which images: a whole number in [0, 16777216)."""
    label: int | None = None
    """The class, for a conditional model; default: all classes in turn."""
    temperature: float = 1.0
    """What the noise is multiplied by, at most 10, where the prior is N(0, I): below 1
    for likelier images, and fewer kinds of them."""
    output: Path = Path("generated.png")
    """The PNG file to write."""


def generate(
    bundle: str | Path,
    num_images: int,
    seed: int = 0,
    label: int | None = None,
    temperature: float = 1.0,
    progress: bool = False,
) -> np.ndarray:
    """Images from an exported decoder.

    Image k depends on the seed, k and the label only, not on `num_images`.

    Args:
        bundle: folder with `decoder.onnx`, or a run folder whose `export` has it.
        num_images: int N >= 1.
        seed: int in [0, 2**24).
        label: class in [0, num_classes) of a conditional model; None takes all classes
            in turn.
        temperature: in [0, 10], by which the noise is multiplied; 1 unless the prior is
            N(0, I).
        progress: whether a bar is shown on a terminal.

    Returns:
        float32 (N, H, W, C) in [0, 1].

    Raises:
        UsageError: if an argument is out of range.
        ModelError: if there is no decoder, or it cannot be run.

    Example:
        >>> generate("saved_models/vae", num_images=64, seed=7).shape
        (64, 28, 28, 1)
    """
    if num_images < 1:
        raise UsageError(f"num_images must be at least 1, got {num_images}.")
    check_seed(seed)
    check_temperature(temperature)
    try:
        call = (num_images, seed, label, temperature)
        images = _run(Path(bundle), *call, progress)
        if images.dtype != np.float32 or images.ndim != 4 or len(images) != num_images:
            raise ValueError(f"its images are {images.dtype} {images.shape}")
        if not np.isfinite(images).all():
            raise ValueError("its images are not finite")
    except (KerasVAEError, MemoryError):
        raise
    except Exception as error:  # a stranger's graph fails in any way
        raise ModelError(
            f"{bundle} holds no decoder of this program: {first_line(error)}."
        ) from error
    return images


def _run(bundle, num_images, seed, label, temperature, progress):
    session = _session(bundle, "decoder.onnx")
    latent_dim, num_classes, is_normal = _facts(session)
    feed = {}
    if num_classes is not None:
        feed["label"] = _labels(num_classes, num_images, label)
    elif label is not None:
        raise UsageError("This decoder takes no label; leave --label out.")
    if is_normal:
        feed["z"], _ = noise(seed, num_images, latent_dim)  # (N, D)
        feed["z"] = feed["z"] * np.float32(temperature)
    elif temperature != 1:
        raise UsageError(
            "Only a decoder whose prior is standard_normal takes a temperature; leave "
            "--temperature out, or use VAE.generate."
        )
    else:  # only the generator knows how the prior is made of noise
        call = {"seed": seed, "num_images": num_images} | dict.fromkeys(feed, 0)
        call = {name: np.array(value, np.int64) for name, value in call.items()}
        (feed["z"],) = _session(bundle, "generator.onnx").run(["z"], call)
    batches = []
    shown = not progress or None  # None: tqdm looks for a terminal
    for start in trange(0, num_images, BATCH, leave=False, delay=1, disable=shown):
        batch = {name: value[start : start + BATCH] for name, value in feed.items()}
        batches.append(session.run(["images"], batch)[0])
    return np.concatenate(batches)


def _facts(session):
    """Latents, classes or None, and whether the prior is N(0, I)."""
    inputs = {value.name: value.shape for value in session.get_inputs()}
    facts = session.get_modelmeta().custom_metadata_map
    _, latent_dim = inputs["z"]
    num_classes = int(facts["keras_vae.num_classes"]) if "label" in inputs else None
    one_or_more = num_classes is None or num_classes > 0
    if latent_dim not in range(1, MAX_LATENT_DIM + 1) or not one_or_more:
        raise ValueError(f"it has {latent_dim} latents and {num_classes} classes")
    return latent_dim, num_classes, facts.get("keras_vae.prior") == "standard_normal"


def _labels(num_classes, num_images, label):
    if label is None:
        return np.arange(num_images, dtype=np.int64) % num_classes
    if not 0 <= label < num_classes:
        raise UsageError(f"The label must be in [0, {num_classes}), got {label}.")
    return np.full(num_images, label, np.int64)


def _session(bundle, name):
    import onnxruntime

    from export.reader import check_onnx, find_bundle, read_bundle, read_file

    folder = find_bundle(bundle)
    checked = read_bundle(folder) if (folder / "manifest.json").exists() else None
    path = checked.locate(name) if checked else folder / name
    if not path.is_file():
        _check_finished(bundle)
        run = bundle.parent if (bundle / "manifest.json").exists() else bundle
        raise ModelError(
            f"{bundle} holds no {name}; write it with "
            f"`{to_type('python -m export', run)} --format onnx`."
        )
    if checked:
        data = checked.read(name)
    else:  # a decoder on its own
        data = read_file(path)
        check_onnx(path, data)
    onnxruntime.set_default_logger_severity(4)  # what fails is raised
    try:
        return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class
        reason = first_line(error)
        raise ModelError(f"ONNX Runtime cannot read {path}: {reason}") from error


def _check_finished(run):
    if not run.exists():
        raise ModelError(
            f"There is no run folder {run}; train one with "
            f"`{to_type('python -m keras_vae.train --output', run)}`."
        )
    if (run / "config.json").is_file() and not (run / "model.keras").is_file():
        raise ModelError(
            f"The run in {run} is not finished: it has no decoder yet. Finish it with "
            f"`{to_type('python -m keras_vae.train --resume --output', run)}`."
        )


def run_generate(config: GenerateConfig) -> None:
    """Writes a grid of images.

    Args:
        config: the options.
    """
    from keras_vae.pictures.grids import image_grid, save_png

    if config.output.suffix.lower() != ".png":
        raise UsageError(f"The output is a PNG file; {config.output} must end in .png.")
    check_file(config.output)
    images = generate(
        config.run,
        config.num_images,
        config.seed,
        config.label,
        config.temperature,
        progress=True,
    )
    if images.shape[3] not in (1, 3, 4):
        raise ModelError(
            f"{config.run} generates images of {images.shape[3]} channels; a PNG file "
            "has 1, 3 or 4."
        )
    grid = image_grid(images)
    if len(images) >= MANY and sys.stderr.isatty():
        print(f"Writing {grid.shape[1]:,} x {grid.shape[0]:,} pixels.", file=sys.stderr)
    save_png(grid, config.output)
    again = to_type("python -m keras_vae.generate", config.run)
    conclude(
        f"{len(images):,} images of seed {config.seed} are in {config.output}.",
        f"{again} --seed {(config.seed + 1) % MAX_SEED}",
    )


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(
        run_generate, GenerateConfig, argv, prog="python -m keras_vae.generate"
    )


if __name__ == "__main__":
    sys.exit(main())
