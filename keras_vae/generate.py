"""`python -m keras_vae.generate RUN`: images from an exported decoder.

ONNX Runtime runs the decoder and NumPy makes the noise; TensorFlow is never imported.
The same seed gives the images that `VAE.generate` gives.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import tyro

from keras_vae.cli import command
from keras_vae.distributions.portable_noise import check_seed, noise
from keras_vae.errors import ModelError, UsageError
from keras_vae.files import check_file

BATCH = 1024  # images decoded in one call: bounds the memory


@dataclasses.dataclass(frozen=True)
class GenerateConfig:
    """Generate images from an exported decoder, without TensorFlow."""

    run: tyro.conf.Positional[Path]
    """A run folder, or its export folder."""
    num_images: int = 64
    """Images in the grid."""
    seed: int = 0
    """Which images: a whole number in [0, 16777216)."""
    label: int | None = None
    """The class, for a conditional model; default: all classes in turn."""
    output: Path = Path("generated.png")
    """The PNG file to write."""


def generate(
    bundle: str | Path, num_images: int, seed: int = 0, label: int | None = None
) -> np.ndarray:
    """Images from an exported decoder.

    Image k depends on the seed, k and the label only, not on `num_images`.

    Args:
        bundle: folder with `decoder.onnx`, or a run folder whose `export` has it.
        num_images: int N >= 1.
        seed: int in [0, 2**24).
        label: class in [0, num_classes) of a conditional model; None takes all classes
            in turn.

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
    bundle = Path(bundle)
    session = _session(bundle, "decoder.onnx")
    inputs = {value.name: value for value in session.get_inputs()}
    facts = session.get_modelmeta().custom_metadata_map
    feed = {}
    if "label" in inputs:
        num_classes = int(facts["keras_vae.num_classes"])
        feed["label"] = _labels(num_classes, num_images, label)
    elif label is not None:
        raise UsageError("This decoder takes no label; leave --label out.")
    if facts.get("keras_vae.prior") == "standard_normal":
        feed["z"], _ = noise(seed, num_images, inputs["z"].shape[1])  # (N, D)
    else:  # only the generator knows how the prior is made of noise
        generator = _session(bundle, "generator.onnx")
        call = {"seed": seed, "num_images": num_images} | dict.fromkeys(
            ["label"] if "label" in inputs else [], 0
        )
        call = {name: np.array(value, np.int64) for name, value in call.items()}
        (feed["z"],) = generator.run(["z"], call)
    batches = []
    for start in range(0, num_images, BATCH):
        batch = {name: value[start : start + BATCH] for name, value in feed.items()}
        batches.append(session.run(["images"], batch)[0])
    return np.concatenate(batches)


def _labels(num_classes, num_images, label):
    if label is None:
        return np.arange(num_images, dtype=np.int64) % num_classes
    if not 0 <= label < num_classes:
        raise UsageError(f"The label must be in [0, {num_classes}), got {label}.")
    return np.full(num_images, label, np.int64)


def _session(bundle, name):
    import onnxruntime

    from export.reader import check_onnx, find_bundle, read_bundle

    folder = find_bundle(bundle)
    path = folder / name
    if not path.is_file():
        _check_finished(bundle)
        raise ModelError(
            f"{bundle} holds no export/{name}; write it with "
            f"`python -m export {bundle} --format onnx`."
        )
    if (folder / "manifest.json").exists():
        data = read_bundle(folder).read(name)
    else:  # a decoder on its own
        data = path.read_bytes()
        check_onnx(path, data)
    onnxruntime.set_default_logger_severity(4)  # what fails is raised
    try:
        return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise ModelError(f"ONNX Runtime cannot read {path}: {error}") from error


def _check_finished(run):
    if (run / "config.json").is_file() and not (run / "model.keras").is_file():
        raise ModelError(
            f"The run in {run} is not finished: it has no model.keras, so there is "
            "nothing to export; train it to its end."
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
    images = generate(config.run, config.num_images, config.seed, config.label)
    save_png(image_grid(images), config.output)
    print(f"{len(images)} images of seed {config.seed} in {config.output}")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(
        run_generate, GenerateConfig, argv, prog="python -m keras_vae.generate"
    )


if __name__ == "__main__":
    sys.exit(main())
