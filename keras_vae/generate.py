"""`python -m keras_vae.generate RUN`: images from its exported decoder.

ONNX Runtime runs the decoder and NumPy makes the noise; TensorFlow is never imported.
The same seed gives the images that `VAE.generate` gives.
"""

import contextlib
import functools
import math
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tqdm import trange

from keras_vae.cli import command, conclude
from keras_vae.data.checks import class_number, labels_in_turn
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
from keras_vae.flags import A_CLASS
from keras_vae.options import options
from keras_vae.run_paths import missing

CPU = "CPUExecutionProvider"
BATCH, PIXELS = 1024, 2**18  # decoded in one call, at most: bounds the memory
MANY = 10_000  # images in a picture that takes more than a second to write


@options
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
    label: Annotated[str | int | None, A_CLASS] = None
    """The class, for a conditional model: its name, or its number from 0; default: all
    classes in turn."""
    temperature: float = 1.0
    """What the noise is multiplied by, at most 10, where the prior is N(0, I): below 1
    for likelier images, and fewer kinds of them."""
    output: Path = Path("generated.png")
    """The PNG file to write: one grid, small images enlarged."""


def generate(
    bundle: str | Path,
    num_images: int,
    seed: int = 0,
    label: int | str | None = None,
    temperature: float = 1.0,
    progress: bool = False,
) -> np.ndarray:
    """Images from an exported decoder.

    Image k depends on the seed, k and the label only, not on `num_images`.

    Args:
        bundle: folder with `decoder.onnx`, or a run folder whose `export` has it.
        num_images: int N >= 1.
        seed: int in [0, 2**24).
        label: class of a conditional model, its number in [0, num_classes) or its
            name; None takes all classes in turn.
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
    _check(num_images, seed, temperature)
    decoder = ExportedDecoder(bundle)
    return decoder.generate(num_images, seed, label, temperature, progress)


def _check(num_images, seed, temperature):
    """Refuses what can be refused without the decoder."""
    if num_images < 1:
        raise UsageError(f"num_images must be at least 1, got {num_images}.")
    check_seed(seed)
    check_temperature(temperature)


class ExportedDecoder:
    """A decoder that is loaded once and generates often; safe to use in threads.

    Args:
        bundle: folder with `decoder.onnx`, or a run folder whose `export` has it.

    Attributes:
        latent_dim: int D.
        num_classes: int of a conditional model, else None.
        class_names: their names from class 0 on, or None where they are not known.
        is_normal: whether the prior is N(0, I).

    Raises:
        ModelError: if there is no decoder, or it cannot be run.

    Example:
        >>> decoder = ExportedDecoder("saved_models/vae")
        >>> decoder.decode(decoder.draw(seed=7, num_images=64)).shape
        (64, 28, 28, 1)
    """

    def __init__(self, bundle: str | Path):
        from export.reader import find_bundle, read_bundle

        self._bundle = Path(bundle)
        self._folder = find_bundle(self._bundle)
        described = (self._folder / "manifest.json").exists()
        self._described = read_bundle(self._folder) if described else None
        self._decoder = self._session("decoder.onnx")
        with self._in_one_sentence():
            self.latent_dim, self.num_classes, self.is_normal = _facts(self._decoder)
        names = self._described and self._described.manifest["class_names"]
        self.class_names = None if self.num_classes is None else names

    @functools.cached_property
    def _draws(self):
        return self._session("generator.onnx", part="z")

    def _session(self, name, part=None):
        import onnxruntime

        from export.onnx_file import check_onnx, part_for
        from export.reader import read_file

        described = self._described
        path = described.locate(name) if described else self._folder / name
        if not path.is_file():
            if not described:
                _check_finished(self._bundle)
            run = self._folder.parent if described else self._bundle
            raise ModelError(
                f"{self._bundle} holds no {name}; write it with "
                f"`{to_type('python -m export', run)} --format onnx`."
            )
        if described:
            data = described.read(name)
        else:  # a decoder on its own
            data = read_file(path)
            check_onnx(path, data)
        if part is not None:
            data = part_for(path, data, part)
        onnxruntime.set_default_logger_severity(4)  # what fails is raised
        try:
            return onnxruntime.InferenceSession(data, providers=[CPU])
        except Exception as error:  # ONNX Runtime's errors have no common class
            reason = first_line(error)
            raise ModelError(f"ONNX Runtime cannot read {path}: {reason}") from error

    def generate(
        self, num_images, seed=0, label=None, temperature=1.0, progress=False
    ) -> np.ndarray:
        """Images of a seed, float32 (N, H, W, C) in [0, 1]; see `generate`."""
        labels = self.labels(num_images, label)
        return self.decode(self.draw(seed, num_images, temperature), labels, progress)

    def draw(self, seed: int, num_images: int, temperature: float = 1.0) -> np.ndarray:
        """The latents of a seed, float32 (N, D); see `generate`."""
        if self.is_normal:
            z, _ = noise(seed, num_images, self.latent_dim)  # (N, D)
            return z * np.float32(temperature)
        if temperature != 1:
            raise UsageError(
                "Only a decoder whose prior is standard_normal takes a temperature; "
                "leave the temperature out, or use VAE.generate."
            )
        # only the generator knows how the prior is made of noise
        call = {"seed": seed, "num_images": num_images}
        call |= {} if self.num_classes is None else {"label": 0}
        call = {name: np.array(value, np.int64) for name, value in call.items()}
        draws = self._draws
        with self._in_one_sentence():
            (z,) = draws.run(["z"], call)
        return z

    def labels(
        self, num_images: int, label: int | str | None = None
    ) -> np.ndarray | None:
        """The class of each image, int64 (N,): one, or all in turn; None without any.

        Raises:
            UsageError: if there is no such class, or the model is not conditional.
        """
        if self.num_classes is None:
            if label is not None:
                raise UsageError(
                    "This decoder takes no label, as its model was not trained with "
                    "--conditional; leave the label out."
                )
            return None
        if label is not None:
            label = class_number(label, self.num_classes, self.class_names)
        return labels_in_turn(label, num_images, self.num_classes).astype(np.int64)

    def decode(
        self, z: np.ndarray, labels: np.ndarray | None = None, progress: bool = False
    ) -> np.ndarray:
        """Images of latents.

        Args:
            z: float32 (N, D).
            labels: int64 (N,), for a conditional model.
            progress: whether a bar is shown on a terminal.

        Returns:
            float32 (N, H, W, C) in [0, 1].

        Raises:
            ModelError: if the decoder cannot be run, or gives something else.
        """
        feed = {"z": z} if labels is None else {"z": z, "label": labels}
        batches, shown = [], not progress or None  # None: tqdm looks for a terminal
        with self._in_one_sentence():
            pixels = [n for n in self._decoder.get_outputs()[0].shape[1:3] if n]
            size = min(BATCH, max(1, PIXELS // math.prod(pixels)))
            for start in trange(0, len(z), size, leave=False, delay=1, disable=shown):
                rows = slice(start, start + size)
                batch = {name: value[rows] for name, value in feed.items()}
                batches.append(self._decoder.run(["images"], batch)[0])
            images = np.concatenate(batches)
            if images.dtype != np.float32 or images.ndim != 4 or len(images) != len(z):
                raise ValueError(f"its images are {images.dtype} {images.shape}")
            if not np.isfinite(images).all():
                raise ValueError("its images are not finite")
        return images

    @contextlib.contextmanager
    def _in_one_sentence(self):
        try:
            yield
        except (KerasVAEError, MemoryError):
            raise
        except Exception as error:  # a stranger's graph fails in any way
            raise ModelError(
                f"{self._bundle} holds no decoder of this program: {first_line(error)}."
            ) from error


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


def _check_finished(run):
    if not run.exists():
        raise missing(run)
    if not any((run / name).is_file() for name in ("config.json", "manifest.json")):
        raise ModelError(
            f"{run} is no run folder: it has no config.json, and no manifest.json as "
            "an export has; give the folder that keras_vae.train or python -m export "
            "wrote."
        )
    if (run / "config.json").is_file() and not (run / "model.keras").is_file():
        from keras_vae.runs.folder import RunFolder

        raise ModelError(
            f"The run in {run} is not finished: it has no decoder yet. Finish it with "
            f"`{RunFolder(run).to_finish}`."
        )


def run_generate(config: GenerateConfig) -> None:
    """Writes a grid of images.

    Args:
        config: the options.
    """
    from keras_vae.pictures.grids import (
        check_picture,
        columns_of_classes,
        image_grid,
        save_png,
    )

    check_picture(config.output)
    _check(config.num_images, config.seed, config.temperature)
    decoder = ExportedDecoder(config.run)
    how = config.seed, config.label, config.temperature
    images = decoder.generate(config.num_images, *how, progress=True)
    if images.shape[3] not in (1, 3, 4):
        raise ModelError(
            f"{config.run} generates images of {images.shape[3]} channels; a PNG file "
            "has 1, 3 or 4."
        )
    in_turn = decoder.num_classes if config.label is None else None
    grid = image_grid(images, columns_of_classes(in_turn))
    if len(images) >= MANY and sys.stderr.isatty():
        print(f"Writing {grid.shape[1]:,} x {grid.shape[0]:,} pixels.", file=sys.stderr)
    save_png(grid, config.output)
    again = to_type("python -m keras_vae.generate", config.run)
    again += f" --seed {(config.seed + 1) % MAX_SEED}"
    for name in ("num_images", "label", "temperature", "output"):
        value = getattr(config, name)
        if value != getattr(GenerateConfig, name):
            again += f" {to_type('--' + name.replace('_', '-'), value)}"
    many = "1 image" if len(images) == 1 else f"{len(images):,} images"
    verb = "is" if len(images) == 1 else "are"
    where = f"{many} of seed {config.seed} {verb} in {config.output}."
    conclude(where, again)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(
        run_generate, GenerateConfig, argv, prog="python -m keras_vae.generate"
    )


if __name__ == "__main__":
    sys.exit(main())
