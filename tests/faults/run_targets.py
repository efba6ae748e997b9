"""Readers of what is in a run folder, and its name."""

import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from keras_vae.config import TrainConfig
from keras_vae.runs.folder import RunFolder
from keras_vae.training import state as checkpoints
from tests.faults.inputs import begin, state
from tests.faults.mutations import altered, damaged
from tests.faults.targets import Target


def read_config(data, folder):
    text = data if isinstance(data, str) else data.decode(errors="surrogateescape")
    config = TrainConfig.from_json(text)
    assert TrainConfig.from_json(config.to_json()) == config


def read_run(document, folder):
    (folder / "config.json").write_text(json.dumps(document))
    config, data = RunFolder(folder).read()
    assert config.epochs and len(data["image_shape"]) == 3


def begin_run(name, folder):
    base = folder / "a/a/a/a/a"  # no name leads out of the folder
    base.mkdir(parents=True)
    try:
        begin(Path(f"{base}/{name}"))
    finally:
        assert not state(folder)


CONFIG = json.loads(TrainConfig().to_json())
FACTS = {"name": "a", "image_shape": [6, 5, 1], "num_images": 20, "num_classes": 2}
RUN = CONFIG | {"data": FACTS | {"class_names": ["no", "yes"]}}
JSON = (b"null", b"NaN", b"1e999", b"-", b"[", b"]", b"{", b"}", b'"', b"\\u0000", b"0")
CONFIGS = st.one_of(
    damaged(json.dumps(CONFIG, indent=2).encode(), words=JSON),
    altered(CONFIG).map(json.dumps),
)
PART = st.one_of(
    st.sampled_from(["..", ".", "", "a", 256 * "a", "\0", "\ud800", "\udcff", "~"]),
    st.text(
        st.characters(exclude_categories=["Cc", "Zl", "Zp"], exclude_characters="/")
    ),
)
NAMES = st.lists(PART, max_size=4).map("/".join)


def read_state(data, folder):
    path = folder / "epoch-0001-step-000000.safetensors"
    path.write_bytes(data)
    arrays, facts = checkpoints.read(path)
    assert facts == {"epoch": 1} and {*arrays} == {"a", "b"}
    assert arrays["a"].tolist() == [0, 1, 2, 3, 4] and arrays["b"] == 1


def saved():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        checkpoints.write(path, {"a": np.arange(5), "b": np.float32(1)}, {"epoch": 1})
        return path.read_bytes()


STATE = saved()
WORDS = (b"F32", b"I64", b'"shape":[5]', b'"data_offsets"', b"\xff" * 8, b"\0" * 8)

TARGETS = (
    Target("any bytes as a checkpoint", damaged(STATE, words=WORDS), read_state),
    Target("any bytes as `config.json`", CONFIGS, read_config),
    Target("any values in `config.json`", altered(RUN), read_run),
    Target("any name of a run", NAMES, begin_run),
)
