"""From a run folder to its trained model, and the images it is to be tested on."""

import dataclasses
import json
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf
from keras import ops

from keras_vae.config import TrainConfig
from keras_vae.data import sources
from keras_vae.data.batches import checked_arrays
from keras_vae.data.checks import class_number
from keras_vae.data.splits import Split
from keras_vae.defaults import chosen
from keras_vae.errors import DataError, ModelError, UsageError, diverged
from keras_vae.model import VAE
from keras_vae.run_paths import at_hand
from keras_vae.runs.build import build_vae
from keras_vae.runs.folder import RunFolder
from keras_vae.runs.memory import check_memory
from keras_vae.runs.model_file import load_model
from keras_vae.training import state
from keras_vae.training.in_pieces import rows_of


def load_run(run: Path | str, best: bool = False) -> tuple[VAE, TrainConfig]:
    """The trained model of a run folder.

    The model is built from `config.json`, and only arrays are read from `model.keras`:
    no code in the file is run.

    Args:
        run: The run folder, or `saved_models/NAME` of a model that came along.
        best: Whether to take the weights of the epoch with the highest validation ELBO
            (training ELBO, without validation images) instead of the last ones.

    Returns:
        The model with its trained weights, in float32, and the config of the run.

    Raises:
        ModelError: If the folder holds no complete run, or a file of it is damaged or
            not what this program writes, or holds weights that are no numbers.

    Example:
        >>> vae, config = load_run("saved_models/vae")
    """
    folder = RunFolder(at_hand(run))
    folder.check_finished()
    config, data = folder.read()
    try:
        config = chosen(config, data["image_shape"], data["num_images"])
        check_memory(config, data["image_shape"], num_images=1)
        vae = build_vae(
            dataclasses.replace(config, precision="float32"),
            tuple(data["image_shape"]),
            data["num_classes"],
            num_images=data["num_images"],
        )
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{folder.config} describes no model: {error} Train the run again."
        ) from error
    load_model(vae, folder)
    if best:
        arrays, _ = state.read(folder.best)
        state.assign(folder.best, arrays, state.by_name(vae.weights))
    if not all(np.isfinite(weight).all() for weight in vae.get_weights()):
        raise ModelError(
            f"{folder.model} holds weights that are NaN or infinite: the model has "
            "diverged; train it again at a lower learning rate."
        )
    return vae, config


class TrainedRun:
    """A trained model with its test images, read and encoded when first needed.

    Args:
        run: The run folder.
        dataset: Where its images are now, as for `load`; None where they were.

    Attributes:
        run: The run folder.
        vae: The model.
        config: The options it was trained with.
        data: What config.json notes about the data set.

    Raises:
        KerasVAEError: If the run or its data cannot be used.

    Example:
        >>> trained = TrainedRun(Path("saved_models/vae"))
        >>> trained.decode(trained.mean[:8]).shape
        (8, 28, 28, 1)
    """

    def __init__(self, run: Path, dataset: str | None = None):
        self.run = at_hand(run)
        self.vae, _ = load_run(run)
        config, self.data = RunFolder(self.run).read()
        self._moved = dataset not in (None, config.dataset)
        dataset = dataset or config.dataset
        self.config = dataclasses.replace(config, dataset=dataset)

    @classmethod
    def of(cls, vae: VAE, test: Split, class_names=None) -> "TrainedRun":
        """A model that no run folder holds, for the views of `keras_vae.exploring`.

        Args:
            vae: The model.
            test: Images that it was not trained on.
            class_names: Names of the classes 0, 1, ..., or None.

        Example:
            >>> trained = TrainedRun.of(vae, load("digits").test)
            >>> view(trained, Traverse(seed=0)).picture()
        """
        trained = cls.__new__(cls)
        trained.run, trained.vae = None, vae
        trained.data = {"class_names": class_names}
        trained.source = sources.ImageSource(
            "images", "", test, None, test, class_names
        )
        return trained

    @cached_property
    def source(self) -> sources.ImageSource:
        """The data set of the run."""
        name, path = self.data["name"], sources.location(self.config.dataset)
        try:
            source = sources.load(
                self.config.dataset,
                seed=self.config.seed,
                validation_images=self.config.validation_images,
                **self.config.image_options,
            )
        except (UsageError, DataError) as error:
            if self._moved or (path is not None and path.exists()):
                raise  # it is itself the mistake, or is damaged
            raise DataError(
                f"{self.run} was trained on {name}, which is not at hand; say with "
                "--dataset where it is now: a folder of its images or IDX files, or "
                "a .npz or .npy file."
            ) from error
        renamed = self._moved and path is not None  # files may be called anything
        if source.name != name and not renamed:
            raise DataError(
                f"{self.run} was trained on {name}, not on {source.name}; say with "
                f"--dataset where {name} is now."
            )
        before = self.data["num_images"], tuple(self.data["image_shape"])
        if before != (len(source.train), source.image_shape):
            raise DataError(
                f"The run was trained on {before[0]:,} images {before[1]}, but "
                f"{self.config.dataset} now has {len(source.train):,} "
                f"{source.image_shape}; bring its images back."
            )
        return source

    @cached_property
    def images(self) -> np.ndarray:
        """The test images as the model sees them, uint8 (N, H, W, C)."""
        test = self.source.test
        return self.vae.evaluation_images(test.take(np.arange(len(test))).images)

    @cached_property
    def mean(self) -> np.ndarray:
        """Where the test images are encoded, float32 (N, D)."""
        mean = self.vae.encode(self.images, self.source.test.labels)
        if not np.isfinite(mean).all():
            wrong = mean[~np.isfinite(mean)][0]
            raise diverged("A latent of the test images", wrong)
        return mean

    @cached_property
    def relevance(self) -> tuple[np.ndarray, str]:
        """What each latent carries, float (D,), and the name of that measure.

        Where the test images are not at hand, that is the variance of the posterior
        mean that `keras_vae.evaluate` found.
        """
        try:
            _ = self.source
        except DataError:
            if (known := self._known_variances()) is None:
                raise
            return known, "variance"
        vae, parts = self.vae, []
        images, labels = checked_arrays(
            self.images, self.source.test.labels, vae.image_spec
        )

        @tf.function(autograph=False)  # which leaves out the decoder
        def divergences(x, label):
            return vae.terms(vae._scaled(x), label, num_samples=1).kl_by_group

        size = rows_of(vae)
        with vae.noise_of(0):
            for start in range(0, len(images), size):
                rows = slice(start, start + size)
                label = ops.convert_to_tensor(labels[rows])
                kl = divergences(images[rows], label)
                parts.append(None if kl is None else ops.convert_to_numpy(kl))
        if parts[0] is not None and parts[0].shape[1] == vae.latent_dim:
            return np.concatenate(parts).mean(axis=0), "nats"
        return self.mean.var(axis=0), "variance"

    def _known_variances(self):
        """Those in metrics.json, float (D,); None if they are not there."""
        try:
            text = RunFolder(self.run).metrics.read_text(encoding="utf-8")
            known = np.asarray(json.loads(text)["latent_variances"], np.float64)
        except (OSError, ValueError, TypeError, KeyError):
            return None
        fits = known.shape == (self.vae.latent_dim,) and np.isfinite(known).all()
        return known if fits else None

    def check_image(self, index: int) -> int:
        """The index, if there is such a test image."""
        if not 0 <= index < len(self.images):
            raise UsageError(
                f"Test images are numbered from 0 to {len(self.images) - 1}; got "
                f"{index}."
            )
        return index

    def class_name(self, label: int) -> str:
        """How a class is called."""
        names = self.data["class_names"]
        return str(label) if names is None else names[label]

    def describe(self, index: int) -> str:
        """How a test image is called."""
        labels = self.source.test.labels
        if labels is None:
            return f"image {index}"
        name = self.class_name(labels[index])
        named = self.data["class_names"] is not None
        return f"image {index} ({name if named else f'class {name}'})"

    def prior_draws(self, seed: int, num: int = 1) -> np.ndarray:
        """The latents of the images that `VAE.generate` makes of a seed, (num, D)."""
        self.vae.refresh_prior()
        return self.vae.latents.draw(seed, num)

    def check_label(
        self, label: int | str | None, image: int | None = None
    ) -> int | None:
        """The class to decode as; None for a model that is not conditional."""
        number = self.vae.num_classes
        if number is None:
            if label is not None:
                raise UsageError("This model takes no label; leave --label out.")
            return None
        if label is None and image is not None:
            labels = self.source.test.labels
            label = None if labels is None else int(labels[image])
        if label is None:
            names = self.data["class_names"] or [f"0 to {number - 1}"]
            raise UsageError(
                "This model is conditional: choose a class with --label, one of "
                f"{', '.join(names)}."
            )
        return class_number(label, number, self.data["class_names"])

    def decode(self, z: np.ndarray, label: int | None = None) -> np.ndarray:
        """Mean images (..., H, W, C) of latents (..., D)."""
        rows = np.reshape(z, (-1, z.shape[-1]))
        labels = None if label is None else np.full(len(rows), label, np.int64)
        images = self.vae.decode(rows, labels)
        return images.reshape(*z.shape[:-1], *images.shape[1:])
