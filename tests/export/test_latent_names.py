"""From a run's metrics to its manifest: the factor that each latent moves."""

import json

import pytest

from export import export_decoder
from export.bundle import latent_names
from export.manifest import serialized
from export.reader import read_bundle
from keras_vae.errors import UsageError

NAMES = ["x", None, "\N{GREEK SMALL LETTER THETA}"]


def named(names):
    return {"metrics": {"elbo": -1.0, "disentanglement": {"latent_names": names}}}


def test_manifest_says_which_factor_each_latent_moves(tmp_path, tiny_vae):
    folder = tmp_path / "export"
    export_decoder(tiny_vae(), folder, ["onnx"], training=named(NAMES))
    assert read_bundle(folder).manifest["latent_names"] == NAMES
    export_decoder(tiny_vae(), folder, ["onnx"], training={"metrics": {"elbo": -1.0}})
    assert read_bundle(folder).manifest["latent_names"] is None
    # a manifest of before has no such names
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["latent_names"]
    (folder / "manifest.json").write_text(serialized(manifest))
    assert read_bundle(folder).manifest == json.loads(serialized(manifest))


@pytest.mark.parametrize(
    "names", ["xyz", ["x", "y"], ["x", "y", 3], ["x", "y", ""], ["x", "y", "a\nb" * 99]]
)
def test_names_of_latents_that_are_none_are_refused(tmp_path, tiny_vae, names):
    with pytest.raises(UsageError, match="a short name, or null, for each of 3"):
        export_decoder(tiny_vae(), tmp_path / "export", ["onnx"], training=named(names))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("metrics", [3, [], {"disentanglement": []}, None])
def test_metrics_without_factors_name_nothing(metrics):
    assert latent_names({"metrics": metrics}, 3) is None
