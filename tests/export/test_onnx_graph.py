from export.to_onnx import write_onnx
from keras_vae.distributions.logistic_mixture import DiscretizedLogisticMixture
from keras_vae.files import sha256_of
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp


def test_onnx_bytes_are_reproducible_where_nodes_can_change_places(tmp_path):
    """A mixture's decoder splits and stacks: many nodes that depend on none other."""
    likelihood = DiscretizedLogisticMixture(num_mixtures=5)
    shape = {"posterior_params": 4, "likelihood_params": 20, "hidden": (4,)}
    vae = VAE(*mlp((3, 3, 3), 2, **shape), likelihood=likelihood)
    digests = set()
    for name in "abcd":
        (tmp_path / name).mkdir()
        write_onnx(vae, tmp_path / name)
        digests.add(sha256_of(tmp_path / name / "decoder.onnx"))
    assert len(digests) == 1
