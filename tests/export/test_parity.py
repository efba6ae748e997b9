import numpy as np
import pytest

from export import export_decoder
from export.decoder import decoder_mean
from export.parity import (
    Artifact,
    ParityError,
    check_parity,
    generator_calls,
    max_error,
    parity_batches,
)
from export.to_onnx import write_onnx
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp


@pytest.fixture(scope="module")
def vae():
    parts = mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1, hidden=(8,))
    return VAE(*parts)


def test_batches_hold_origin_draws_and_far_points(vae):
    batches = [z for (z,) in parity_batches(vae)]
    assert [len(z) for z in batches] == [1, 1, 1, 7, 7, 7, 64, 64, 64]
    assert not batches[6].any()
    assert 0.8 < batches[7].std() < 1.2
    assert {*batches[8].ravel()} == {-4.0, 0.0, 4.0}
    assert {tuple(z) for z in batches[8]} == {
        tuple(s * 4.0 * axis) for axis in np.eye(3) for s in (1, -1)
    }


def test_perturbed_weight_fails(vae, tmp_path):
    artifacts = write_onnx(vae, tmp_path)
    assert check_parity(vae, artifacts)["decoder.onnx"] <= 1e-5
    bias = vae.decoder.weights[-1]
    value = bias.numpy()
    bias.assign(value + np.eye(1, value.size)[0] * 1e-3)  # one weight of many
    try:
        assert check_parity(vae, artifacts)["decoder.onnx"] > 1e-5
    finally:
        bias.assign(value)


@pytest.mark.parametrize("num_classes", [1, 2, 3])
def test_generators_of_few_classes_are_asked_for_those_alone(num_classes, tmp_path):
    options = {"posterior_params": 6, "likelihood_params": 1, "hidden": (8,)}
    parts = mlp((6, 5, 1), 3, num_classes=num_classes, **options)
    vae = VAE(*parts, num_classes=num_classes)
    labels = [label for *_, label in generator_calls(vae)]
    assert {*labels} == {*range(num_classes)}
    errors = check_parity(vae, write_onnx(vae, tmp_path))
    assert max(errors.values()) <= 1e-5


def test_wrong_artifact_never_gets_its_name(vae, tmp_path, monkeypatch):
    def write_wrong(vae, folder):
        (folder / "wrong.bin").write_bytes(b"wrong")
        model = decoder_mean(vae)
        return [Artifact("wrong.bin", lambda z: model(z).numpy() + np.float32(2e-5))]

    monkeypatch.setattr("export.to_keras.write_keras", write_wrong)
    with pytest.raises(ParityError, match="wrong.bin differs .* is left as it was"):
        export_decoder(vae, tmp_path / "export", ["onnx", "keras"])
    assert list(tmp_path.iterdir()) == []
    assert ParityError.exit_code == 1


def test_max_error_is_infinite_for_other_shape_dtype_or_nan():
    expected = np.zeros((2, 3, 3, 1), np.float32)
    assert max_error(expected + np.float32(0.25), expected) == 0.25
    assert max_error(expected[:1], expected) == np.inf
    assert max_error(expected.astype("f8"), expected) == np.inf
    assert max_error(expected * np.float32("nan"), expected) == np.inf
