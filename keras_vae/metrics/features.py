"""Features of images, by a network in an ONNX file that is known by its SHA-256.

Two small extractors come with the package, for grey and for color images;
`python -m keras_vae.train_extractor` made them.
"""

import hashlib
import importlib.resources
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from keras_vae.errors import ModelError, UsageError, first_line

BATCH = 256  # images in one call
MAX_SIDE = 1024  # rows or columns that images are scaled to
MAX_FEATURES = 4096  # beyond them covariances take minutes and gigabytes
LARGEST = 1e9  # feature: the sixth power of its square is still a float64


class Extractor:
    """From images to features, by ONNX Runtime.

    The file must have one input, float32, (batch, H, W, C) or (batch, C, H, W) with 1
    or 3 channels, on a scale from 0 to 1, and its first output is the features. H, W
    and batch may be free, batch may be 1. Images of other sizes are scaled, in 8 bits,
    by Pillow's bicubic filter, which takes all pixels into account; grey images become
    three equal channels, and color 0.299 R + 0.587 G + 0.114 B.

    Args:
        name: What the file is called.
        data: Its content. A model that keeps weights in other files is refused.

    Attributes:
        name: As given.
        sha256: The checksum of the content.
        image_shape: (H, W, C) that it takes; H and W are None where it takes all.
        num_features: int F.

    Raises:
        ModelError: If it is no such file.

    Example:
        >>> extractor = shipped_extractor(channels=1)
        >>> extractor(np.zeros((8, 20, 20, 1), np.uint8)).shape
        (8, 64)
    """

    def __init__(self, name: str, data: bytes):
        self.name, self.sha256 = name, hashlib.sha256(data).hexdigest()
        self._session = _session(name, data)
        self._input, batch, self.image_shape, self._channels_first = self._layout()
        self._batch = BATCH if batch is None else 1
        height, width, channels = self.image_shape
        black = np.zeros((2, height or 32, width or 32, channels), np.uint8)
        self.num_features = self(black).shape[1]

    def _layout(self):
        """The name of the input, batch, (H, W, C), and whether channels come first."""
        inputs = self._session.get_inputs()
        shape: list[Any] = []
        if len(inputs) == 1 and inputs[0].type == "tensor(float)":
            shape = [k if isinstance(k, int) else None for k in inputs[0].shape]
        if len(shape) == 4 and shape[0] in (None, 1):
            for places in ((1, 2, 3), (2, 3, 1)):  # of height, width and channels
                height, width, channels = image_shape = tuple(shape[k] for k in places)
                sides = {height, width} - {None}
                if channels in (1, 3) and sides <= {*range(1, MAX_SIDE + 1)}:
                    return inputs[0].name, shape[0], image_shape, places[2] == 1
        found = ", ".join(f"{value.type} {value.shape}" for value in inputs)
        raise ModelError(
            f"{self.name} takes {found or 'nothing'}; an extractor takes images, one "
            "float32 (batch, height, width, channels) with 1 or 3 channels and at most "
            f"{MAX_SIDE:,} rows and columns."
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """The features of images.

        Args:
            images: uint8 (N, H, W, C), of 1 or 3 channels; or float in [0, 1], which
                is rounded to 8 bits.

        Returns:
            float32 (N, F).

        Raises:
            UsageError: If the images have other channels.
            ModelError: If the network fails, or its features are NaN or huge.
        """
        if images.dtype != np.uint8:
            images = np.rint(np.multiply(images, 255, dtype=np.float32))
            images = images.clip(0, 255).astype(np.uint8)
        images = _fitted(images, self.image_shape)
        parts = [
            self._run(images[start : start + self._batch])
            for start in range(0, len(images), self._batch)
        ]
        return np.concatenate(parts)

    def _run(self, images):
        x = images.astype(np.float32) / np.float32(255)
        if self._channels_first:
            x = x.transpose(0, 3, 1, 2)
        try:
            output = self._session.run(None, {self._input: x})[0]
            features = np.asarray(output, np.float32).reshape(len(x), -1)
        except Exception as error:  # ONNX Runtime's errors have no common class
            raise ModelError(
                f"{self.name} cannot take images {x.shape}: {first_line(error)}"
            ) from error
        if not 1 <= features.shape[1] <= MAX_FEATURES:
            raise ModelError(
                f"{self.name} gives {features.shape[1]:,} features an image; expected "
                f"1 to {MAX_FEATURES:,}, so choose an output that pools."
            )
        if not (np.abs(features) <= LARGEST).all():
            raise ModelError(
                f"{self.name} gives features that are NaN or beyond {LARGEST:g}; "
                "choose a network that is trained and scaled."
            )
        return features

    def of(
        self, batches: Iterable[np.ndarray], total: int, what: str, progress: bool
    ) -> np.ndarray:
        """The features of images that come in batches.

        Args:
            batches: Images, as for a call.
            total: int N, how many there are.
            what: What they are, for the bar.
            progress: bool, shows a bar where standard error is a terminal.

        Returns:
            float32 (N, F).
        """
        parts, shown = [], not progress or None  # None: tqdm looks for a terminal
        with tqdm(total=total, desc=what, unit="image", disable=shown) as bar:
            for images in batches:
                parts.append(self(images))
                bar.update(len(images))
        return np.concatenate(parts)


def shipped_extractor(channels: int) -> Extractor:
    """The extractor that comes with the package for grey or for color images.

    Args:
        channels: 1 or 3.

    Returns:
        `Extractor`.

    Raises:
        UsageError: If there is none.
        ModelError: If its file is damaged.
    """
    if channels not in SHIPPED:
        raise UsageError(
            f"Features are of grey or color images; these have {channels} channels."
        )
    name, sha256 = SHIPPED[channels]
    folder = importlib.resources.files("keras_vae.metrics")
    data = (folder / "extractors" / f"{name}.onnx").read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError(
            f"The extractor {name} is damaged: its SHA-256 is not the one it was "
            "shipped with; install keras-vae again."
        )
    return Extractor(name, data)


def _session(name, data) -> Any:
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)  # what fails is raised
    options = onnxruntime.SessionOptions()
    # Weights in other files are a way to read any file of the machine: look in none.
    folder = "session.model_external_initializers_file_folder_path"
    options.add_session_config_entry(folder, os.devnull)
    try:
        return onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class
        reason = first_line(error)
        raise ModelError(f"ONNX Runtime cannot read {name}: {reason}") from error


def _fitted(images, image_shape):
    """uint8 images in the size and with the channels of an extractor."""
    height, width, channels = image_shape
    if images.shape[3] not in (1, 3):
        raise UsageError(
            f"Features are of grey or color images; these have {images.shape[3]} "
            "channels."
        )
    size = (height or images.shape[1], width or images.shape[2])
    if images.shape[1:] == (*size, channels):
        return images
    mode, fitted = "L" if channels == 1 else "RGB", []
    for image in images:
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        picture = picture.convert(mode)
        if image.shape[:2] != size:
            picture = picture.resize(size[::-1], Image.Resampling.BICUBIC)
        fitted.append(np.asarray(picture).reshape(*size, channels))
    return np.stack(fitted)


# channels: the name of the file, and its SHA-256
SHIPPED = {
    1: (
        "mnist_28x28x1",
        "0f729eb9c7e08f50eb318ca7351ebd4627877c729e3be68fbdc27345fba357cf",
    ),
    3: (
        "emoji_32x32x3",
        "2c4032f5a194ab98c383ac05813af4c4c1b14dfd94e2b4328c7f07dcb126ffd3",
    ),
}
