import json
import os
import subprocess

import numpy as np
import pytest

from keras_vae.errors import ModelError
from keras_vae.files import sha256_of
from keras_vae.runs import model_file
from keras_vae.runs.folder import RunFolder
from keras_vae.runs.trained import load_run


@pytest.fixture(scope="module")
def model(small_vae):
    return small_vae()


def changed(vae):
    """The model with other weights."""
    for weight in vae.trainable_weights:
        weight.assign(weight + 1)
    return vae


def loads(vae, run):
    """Whether the file is taken, and fills the model with what was saved."""
    expected = [weight.numpy() for weight in vae.weights]
    changed(vae)
    try:
        model_file.load_model(vae, run)
        for weight, value in zip(vae.weights, expected, strict=True):
            np.testing.assert_array_equal(weight.numpy(), value)
        return True
    except ModelError:
        return False
    finally:
        for weight, value in zip(vae.weights, expected, strict=True):
            weight.assign(value)


def test_checksum_is_one_of_coreutils(model, tmp_path):
    run = RunFolder(tmp_path)
    model_file.save_model(model, run)
    assert run.checksums.read_text() == f"{sha256_of(run.model)}  model.keras\n"
    command = ["sha256sum", "-c", "SHA256SUMS"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "model.keras: OK\n"
    assert loads(model, run)


def test_file_with_another_checksum_is_refused(model, tmp_path):
    run = RunFolder(tmp_path)
    model_file.save_model(model, run)
    data = bytearray(run.model.read_bytes())
    data[100] ^= 1
    run.model.write_bytes(data)
    with pytest.raises(ModelError, match="its SHA-256 is not the one in SHA256SUMS"):
        model_file.load_model(model, run)


@pytest.mark.parametrize("text", ["", "0" * 64 + "  other.keras\n", "\xff"])
def test_checksums_without_the_file_are_refused(model, tmp_path, text):
    run = RunFolder(tmp_path)
    model_file.save_model(model, run)
    run.checksums.write_text(text, encoding="latin-1")
    assert not loads(model, run)


def test_run_of_a_version_before_has_no_checksum(model, tmp_path):
    run = RunFolder(tmp_path)
    model.save(run.model)
    assert loads(model, run)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("step", range(3))  # of the three files that are replaced
def test_a_kill_while_the_file_is_replaced_leaves_one_that_loads(
    small_vae, tmp_path, monkeypatch, before, step
):
    vae, run = small_vae(), RunFolder(tmp_path)
    model_file.save_model(vae, run)
    if before:
        run.checksums.unlink()
    old = sha256_of(run.model)
    steps = []

    def replace(*names):
        if len(steps) == step:
            raise KeyboardInterrupt
        steps.append(names)
        rename(*names)

    rename = os.replace
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        model_file.save_model(changed(vae), run)
    monkeypatch.undo()
    assert (sha256_of(run.model) == old) == (step < 2)
    model_file.load_model(vae, run)
    model_file.save_model(vae, run)
    assert loads(vae, run)


@pytest.mark.parametrize(
    "facts",
    [
        {"image_shape": [6, 5]},
        {"image_shape": 6},
        {"image_shape": [10**9, 10**9, 1]},
        {"image_shape": ["6", 5, 1]},
        {"num_classes": 0},
        {"num_classes": 10**12},
        {"num_images": None},
        {"class_names": ["top"]},
        {"class_names": [1, 2, 3]},
        {"name": {}},
    ],
)
def test_facts_that_no_training_writes_are_refused(untrained, tmp_path, facts):
    run = RunFolder(untrained(tmp_path, conditional=True))
    config = json.loads(run.config.read_text())
    config["data"] |= facts
    run.config.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="its data"):
        load_run(tmp_path)
