"""Image data sets through tensorflow-datasets (TFDS), with or without a network.

TFDS and TensorFlow are imported inside the functions: asking a command for its help
must not wait for them.
"""

import contextlib
import difflib
import itertools
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from keras_vae.data.array_files import MAX_BYTES
from keras_vae.data.images import RawSource, RawSplit, to_splits
from keras_vae.errors import DataError, UsageError, first_line, shown

PROBE_SECONDS = 5.0  # for every host together, name resolution included
PROBE_HOSTS = 8  # at most this many are asked


class Unavailable(DataError):
    """A data set that is not on disk and cannot be downloaded.

    Attributes:
        reason: Why, to follow "it is".
    """

    def __init__(self, name: str, reason: str):
        super().__init__(
            f"{name}: {reason}. Without a download there are 'digits' (5,000 MNIST"
            " digits), 'auto', a folder with IDX files, and .npz files."
        )
        self.reason = reason


def read_tfds(name: str) -> RawSource:
    """Reads a data set that TFDS has prepared, or lets TFDS prepare it first.

    With no network TFDS itself gives up only after minutes of retries; here one small
    request to the hosts it would download from decides within `PROBE_SECONDS`.

    Args:
        name: As TFDS writes it: `"mnist"`, `"emnist/letters"`, `"cifar10:3.*.*"`.

    Returns:
        Its splits; a split under another name than train, validation and test is left
        out, unless it is the only one.

    Raises:
        UsageError: If TFDS has no data set of that name.
        Unavailable: If it is neither on disk nor can be downloaded.
        DataError: If it holds no images, or images of several sizes, or is damaged.
    """
    import tensorflow_datasets as tfds

    # Read here, because TFDS reads the variable only once, when it is imported.
    data_dir = os.environ.get("TFDS_DATA_DIR")
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        raise _unknown(name, tfds) from None
    except Exception as error:  # whatever a builder's own code raises
        raise DataError(f"tfds:{name}: cannot be built: {first_line(error)}") from error
    if not builder.data_path.exists():
        _prepare(builder, name)

    given = name in ("mnist", "fashion_mnist")
    return _read(builder, name if given else f"tfds:{name}", f"tfds:{name}")


def is_version(folder: Path) -> bool:
    """Whether a folder is a version of a data set that TFDS has prepared."""
    return (folder / "dataset_info.json").is_file()


def read_version(folder: Path) -> RawSource:
    """Reads a data set that TFDS has prepared, in TFRecord or ArrayRecord files.

    Args:
        folder: Of one version, with the `dataset_info.json`.

    Returns:
        Its splits, as from `read_tfds`.

    Raises:
        DataError: If it holds no images, or images of several sizes, or is damaged.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(folder)
    except Exception as error:  # of JSON, of protocol buffers, of TFDS
        raise DataError(
            f"{folder}: no data set of TFDS that can be read: {first_line(error)}."
        ) from error
    return _read(builder, f"tfds:{builder.info.full_name}", str(folder))


def _read(builder, name: str, where: str) -> RawSource:
    """The splits of what a builder has prepared."""
    image_key, label_key = _keys(builder.info, where)
    splits = {
        ours: _read_split(builder, theirs, image_key, label_key)
        for ours, theirs in _split_names(list(builder.info.splits), where).items()
    }
    label_names = builder.info.features[label_key].names if label_key else None
    return RawSource(
        name,
        f"{builder.info.full_name} through tensorflow-datasets in {builder.data_dir}",
        to_splits(splits),
        tuple(label_names) if label_names else None,
    )


def _prepare(builder, name: str) -> None:
    """Downloads and prepares, after making sure that there is something to ask."""
    urls = builder.url_infos or {}
    missing = f"not in {builder.data_dir_root}"
    if not can_download(urls):
        hosts = ", ".join(sorted({urlsplit(url).netloc for url in urls})[:2])
        raise Unavailable(name, f"{missing} and {hosts} cannot be reached")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # its progress is no result
            builder.download_and_prepare()
    except Exception as error:  # requests, checksums, disk, the builder's own code
        reason = f"{missing} and its preparation failed ({first_line(error)})"
        raise Unavailable(name, reason) from error


def can_download(urls: Iterable[str]) -> bool:
    """Whether a host that files come from answers, decided within `PROBE_SECONDS`.

    Asks as TFDS will, with the same library and so through the same proxy, for the
    beginning of one file a host, all hosts at once. Threads keep the time, because
    resolving a name has no timeout of its own.

    Args:
        urls: What would be downloaded. Only http(s) can be asked.

    Returns:
        True if one host answers 200, or if there is none to ask.
    """
    import requests

    hosts = {urlsplit(url).netloc: url for url in urls if url.startswith("http")}
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask(url: str) -> None:
        try:
            with requests.get(url, stream=True, timeout=PROBE_SECONDS) as response:
                answers.put(response.status_code == 200)
        except (OSError, ValueError):  # requests' exceptions are OSErrors
            answers.put(False)

    deadline = time.monotonic() + PROBE_SECONDS
    asked = list(itertools.islice(hosts.values(), PROBE_HOSTS))
    for url in asked:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    for _ in asked:
        try:
            if answers.get(timeout=max(0.0, deadline - time.monotonic())):
                return True
        except queue.Empty:
            return False
    return not asked


def _keys(info, where: str) -> tuple[str, str | None]:
    """The keys of the image and of the label, `None` where there is no label."""
    from tensorflow_datasets.core import features as kinds

    features = info.features
    supervised = info.supervised_keys or ()
    found = {}
    for kind in (kinds.Image, kinds.ClassLabel):
        keys = [key for key in features if isinstance(features[key], kind)]
        preferred = [key for key in (*supervised, "image", "label") if key in keys]
        found[kind] = (preferred or keys or [None])[0]
    if found[kinds.Image] is None:
        raise DataError(
            f"{where}: no feature of it is an image, there are"
            f" {', '.join(sorted(features))[:100]}; choose an image data set."
        )
    return found[kinds.Image], found[kinds.ClassLabel]


def _split_names(names: list[str], where: str) -> dict[str, str]:
    """Maps train, validation and test to the names that TFDS has for them."""
    if "train" in names:
        return {key: key for key in ("train", "validation", "test") if key in names}
    if len(names) == 1:
        return {"train": names[0]}
    raise DataError(
        f"{where}: has the splits {', '.join(names) or 'none'}; expected one"
        " that is named train."
    )


def _read_split(builder, split: str, image_key: str, label_key: str | None) -> RawSplit:
    """Reads a split into arrays, in the order of its files."""
    where = f"tfds:{builder.info.full_name}[{split}]"
    keys = [image_key, *([label_key] if label_key else [])]
    num_images = builder.info.splits[split].num_examples
    images, labels, done = None, np.zeros(num_images, np.int64), 0
    try:
        for batch in _batches(builder, split, keys):
            pixels = batch[image_key]  # (B, H, W, C)
            if images is None:
                shape = (num_images, *pixels.shape[1:])
                _check_memory(shape, pixels.dtype, where)
                images = np.empty(shape, pixels.dtype)
            if pixels.shape[1:] != images.shape[1:]:
                raise DataError(
                    f"{where}: image {done} is {pixels.shape[1:]} and the first one"
                    f" {images.shape[1:]}; expected images of one size."
                )
            images[done : done + len(pixels)] = pixels
            if label_key:
                labels[done : done + len(pixels)] = batch[label_key]
            done += len(pixels)
    except DataError:
        raise
    except Exception as error:  # of TensorFlow, of the file system, of ArrayRecord
        raise DataError(
            f"{where}: cannot be read from {builder.data_dir}; delete that folder to"
            f" have it prepared again ({first_line(error)})."
        ) from error
    if images is None:
        raise DataError(f"{where}: no images.")
    return RawSplit(images[:done], labels[:done] if label_key else None, where)


def _batches(builder, split: str, keys: list[str]) -> Iterator[dict[str, np.ndarray]]:
    """The features of a split that are asked for, some examples at a time."""
    import tensorflow_datasets as tfds

    if builder.info.file_format is tfds.core.FileFormat.ARRAY_RECORD:
        for example in builder.as_data_source(split=split):
            yield {key: np.asarray(example[key])[None] for key in keys}
        return
    dataset = builder.as_dataset(
        split=split,
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(keys, True)),
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    # Images of unknown size may differ: one at a time, to name the first that does.
    known = None not in builder.info.features[keys[0]].shape
    yield from dataset.batch(1024 if known else 1).as_numpy_iterator()


def _check_memory(shape: tuple[int, ...], dtype: np.dtype, where: str) -> None:
    num_bytes = math.prod(shape) * dtype.itemsize
    if num_bytes > MAX_BYTES:
        raise DataError(
            f"{where}: takes {num_bytes:,} bytes of memory; the limit is {MAX_BYTES:,}."
        )


def nearest(name: str, cutoff: float = 0.9) -> str | None:
    """The data set of tensorflow-datasets that a name stands for, if one is near.

    Args:
        name: The name, in any case, without `tfds:`.
        cutoff: float in [0, 1], how alike they must be.
    """
    import tensorflow_datasets as tfds

    names = tfds.list_builders(with_community_datasets=False)
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=cutoff)
    return near[0] if near else None


def _unknown(name: str, tfds) -> UsageError:
    """Like `errors.unknown`, without the list of more than a thousand names."""
    near = nearest(name, cutoff=0.6)
    hint = f"Did you mean 'tfds:{near}'?" if near else "See tfds.list_builders()."
    return UsageError(
        f"Unknown dataset {shown('tfds:' + name)}; tensorflow-datasets"
        f" {tfds.__version__} has none of that name. {hint}"
    )
