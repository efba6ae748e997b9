import contextlib
import os
import socket
import threading
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_vae.data import from_tfds, sources
from keras_vae.data.sources import load
from keras_vae.errors import DataError, UsageError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (50, 8, 6, 3), np.uint8)
CLASSES = ["cat", "dog", "eel"]


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Fifty small pictures that need no download."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name)
        for name in ("both", "single", "validated", "ragged", "odd", "sound")
    ]
    generated = 0

    def _info(self):
        kind = self.builder_config.name
        shape = (None, None, 3) if kind == "ragged" else (8, 6, 3)
        image = tfds.features.Image(shape=shape)
        if kind == "sound":
            image = tfds.features.Tensor(shape=(4,), dtype=np.float32)
        features = {"image": image, "name": tfds.features.Text()}
        if kind != "single":
            features["label"] = tfds.features.ClassLabel(names=CLASSES)
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            description="Tiny pictures.",
        )

    def _split_generators(self, dl_manager):
        names = {
            "both": ["train", "test"],
            "single": ["whole"],
            "validated": ["train", "validation"],
            "odd": ["left", "right"],
        }.get(self.builder_config.name, ["train"])
        return {name: self._generate_examples(i) for i, name in enumerate(names)}

    def _generate_examples(self, offset):
        type(self).generated += 1
        for index, image in enumerate(IMAGES):
            kind = self.builder_config.name
            if kind == "ragged":
                image = image[: 7 + (index < 20)]
            if kind == "sound":
                image = np.zeros(4, np.float32)
            example = {"image": image, "name": str(index)}
            if kind != "single":
                example["label"] = (index + offset) % 3
            yield index, example


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    tfds.disable_progress_bar()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise socket.gaierror("Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def hanging_network(monkeypatch):
    """A name server that never answers, in a way that no timeout of ours can stop."""
    released = threading.Event()

    def hang(*args, **kwargs):
        released.wait(30)
        raise socket.gaierror("Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield
    released.set()


def in_some_order(images):
    return sorted(image.tobytes() for image in images)


# --- a data set that TFDS has really prepared ---------------------------------------


def test_prepared_data_set_is_read_whole(tmp_path, capsys):
    source = load("tfds:tiny_pictures/both", validation_images=10)
    assert source.name == "tfds:tiny_pictures/both"
    assert source.class_names == tuple(CLASSES) and source.num_classes == 3
    assert source.image_shape == (8, 6, 3)
    assert [len(s) for s in (source.train, source.validation, source.test)] == [
        40, 10, 50
    ]  # fmt: skip
    assert in_some_order(source.test.images) == in_some_order(IMAGES)
    together = [*source.train.images, *source.validation.images]
    assert in_some_order(together) == in_some_order(IMAGES)
    place = {image.tobytes(): index for index, image in enumerate(IMAGES)}
    expected = [(place[image.tobytes()] + 1) % 3 for image in source.test.images]
    assert source.test.labels.tolist() == expected
    assert str(tmp_path / "tfds") in source.provenance
    assert capsys.readouterr().out == ""  # standard output is for results


def test_second_load_reads_the_disk_and_says_nothing(no_network, capfd):
    first = load("tfds:tiny_pictures/both")
    before = TinyPictures.generated
    capfd.readouterr()
    second = load("tfds:tiny_pictures/both")
    assert TinyPictures.generated == before
    np.testing.assert_array_equal(first.train.images, second.train.images)
    np.testing.assert_array_equal(first.test.labels, second.test.labels)
    assert capfd.readouterr().out == ""


def test_single_split_is_divided():
    source = load("tfds:tiny_pictures/single")
    assert [len(s) for s in (source.train, source.validation, source.test)] == [
        41, 4, 5
    ]  # fmt: skip
    assert source.train.labels is None and source.class_names is None


def test_own_validation_split_is_used():
    source = load("tfds:tiny_pictures/validated")
    assert in_some_order(source.validation.images) == in_some_order(IMAGES)
    assert len(source.train) == 45 and len(source.test) == 5


@pytest.mark.parametrize(
    "config, message",
    [
        ("ragged", r"image \d+ is \([78], 6, 3\) and the first one"),
        ("odd", "has the splits left, right; expected one that is named train"),
        ("sound", "no feature of it is an image, there are image, label, name"),
    ],
)
def test_data_sets_that_cannot_be_used(config, message):
    with pytest.raises(DataError, match=message):
        load(f"tfds:tiny_pictures/{config}")


def test_damaged_records_are_refused(tmp_path):
    load("tfds:tiny_pictures/both")
    for record in (tmp_path / "tfds").rglob("*test.tfrecord*"):
        data = bytearray(record.read_bytes())
        data[len(data) // 2] ^= 1
        record.write_bytes(data)
    with pytest.raises(DataError, match="delete that folder"):
        load("tfds:tiny_pictures/both")


def test_too_large_data_sets_are_refused(monkeypatch):
    monkeypatch.setattr(from_tfds, "MAX_BYTES", 7199)  # 50 * 8 * 6 * 3 is 7,200
    with pytest.raises(DataError, match="takes 7,200 bytes of memory"):
        load("tfds:tiny_pictures/single")


def test_unknown_names(no_network):
    with pytest.raises(UsageError, match="mean 'tfds:cifar10'") as raised:
        load("tfds:cifar1O")
    assert len(str(raised.value)) < 300
    for wrong in ("tfds:", "tfds:mnist/nope", "tfds:mnist:9.9.9", "tfds:NAME"):
        with pytest.raises((UsageError, DataError)) as raised:
            load(wrong)
        assert "\n" not in str(raised.value) and len(str(raised.value)) < 300


# --- mocked TFDS --------------------------------------------------------------------


@contextlib.contextmanager
def mocked(name, version, tmp_path, num_examples=40):
    """`tfds.testing.mock_data`, with the metadata of a prepared data set on disk."""
    builder = tfds.builder(name, data_dir=tmp_path / "mock")
    builder.info.set_splits(
        tfds.core.splits.SplitDict(
            [
                tfds.core.SplitInfo(
                    name=split,
                    shard_lengths=[num_examples],
                    num_bytes=0,
                    filename_template=tfds.core.ShardedFileTemplate(
                        data_dir=builder.data_path,
                        dataset_name=name,
                        split=split,
                        filetype_suffix="tfrecord",
                    ),
                )
                for split in ("train", "test")
            ]
        )
    )
    builder.data_path.mkdir(parents=True)
    builder.info.write_to_directory(builder.data_path)
    assert builder.data_path.name == version
    with tfds.testing.mock_data(num_examples, data_dir=str(tmp_path / "mock")):
        yield


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "tfds:mnist", "auto"])
def test_mocked_mnist(name, tmp_path, no_network):
    real = {"auto": "mnist"}.get(name, name.removeprefix("tfds:"))
    with mocked(real, "3.0.1", tmp_path):
        source = load(name)
    assert source.name == real and source.image_shape == (28, 28, 1)
    assert [len(s) for s in (source.train, source.validation, source.test)] == [
        36, 4, 40
    ]  # fmt: skip
    assert source.num_classes == 10 and len(source.class_names) == 10
    assert source.train.labels.dtype == np.int64
    assert f"{real}/3.0.1" in source.provenance


def test_mocked_color_images(tmp_path, no_network):
    with mocked("cifar10", "3.0.2", tmp_path):
        source = load("tfds:cifar10")
    assert source.image_shape == (32, 32, 3) and source.num_classes == 10


# --- without a network --------------------------------------------------------------


@pytest.mark.parametrize("network", ["no_network", "hanging_network"])
def test_auto_falls_back_to_digits_within_ten_seconds(network, request):
    request.getfixturevalue(network)
    start = time.monotonic()
    source = load("auto")
    assert time.monotonic() - start < 10
    assert source.name == "digits" and len(source.test) == 500
    assert "5,000 MNIST digits" in source.provenance
    assert "storage.googleapis.com cannot be reached" in source.provenance
    assert "\n" not in source.provenance


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "tfds:cifar10"])
def test_explicit_name_never_falls_back(name, no_network):
    with pytest.raises(DataError, match="'digits'.*IDX files") as raised:
        load(name)
    assert len(str(raised.value)) < 300 and "\n" not in str(raised.value)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 403 Forbidden\r\n\r\n"])
def test_proxy_that_hangs_or_refuses_is_no_network(reply, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(from_tfds, "PROBE_SECONDS", 1.0)
        monkeypatch.setenv("HTTPS_PROXY", "http://{}:{}".format(*server.getsockname()))

        def serve():
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(reply)
                    time.sleep(0 if reply else 2)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        start = time.monotonic()
        assert not from_tfds.can_download(["https://storage.googleapis.com/a"])
        assert time.monotonic() - start < 3
    thread.join(timeout=5)


def test_host_that_answers_is_enough(no_network):
    # Nothing to ask means nothing to download.
    assert from_tfds.can_download([])
    assert from_tfds.can_download(["ftp://example.org/a"])
    assert not from_tfds.can_download(["https://example.org/a"])


@pytest.mark.parametrize(
    "reply, reachable", [(b"HTTP/1.1 200 OK", True), (b"HTTP/1.1 404 No", False)]
)
def test_answer_of_the_host_decides(reply, reachable):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(reply + b"\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = "http://{}:{}/file".format(*server.getsockname())
        assert from_tfds.can_download([url]) == reachable
        thread.join(timeout=5)


def test_download_that_fails_half_way(monkeypatch, tmp_path):
    def fail(self):
        raise ConnectionError("gone\n500")

    monkeypatch.setattr(from_tfds, "can_download", lambda urls: True)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(DataError, match=r"its preparation failed \(gone\)"):
        load("mnist")
    assert load("auto").name == "digits"
    assert not os.path.exists(tmp_path / "tfds" / "mnist")


def test_damaged_mnist_on_disk_is_no_reason_to_fall_back(tmp_path, no_network):
    (tmp_path / "tfds" / "mnist" / "3.0.1").mkdir(parents=True)
    with pytest.raises(DataError, match="has the splits none"):
        sources.load("auto")
