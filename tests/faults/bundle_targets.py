"""Readers of exported bundles; nothing of them is run."""

import hashlib
import io

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from export.onnx_file import check_onnx
from export.reader import read_bundle, serialized
from tests.faults.mutations import ZIP, altered, damaged
from tests.faults.targets import Target, written

DIGEST = hashlib.sha256(b"content").hexdigest()
ENTRY = {"format": "web", "max_error": 0.0, "tolerance": 1e-5}
MANIFEST = {
    "latent_dim": 3,
    "image_shape": [6, 5, 1],
    "num_classes": None,
    "generator": {"exact_latents": True},
    "weights_sha256": "0",
    "files": {"golden.npz": DIGEST},
    "artifacts": {
        "web": ENTRY | {"files": {"web/a": DIGEST, "web/b/c": DIGEST}},
        "decoder.tflite": ENTRY | {"files": {"decoder.tflite": DIGEST}},
    },
}


def read_manifest(text, folder):
    data = text if isinstance(text, bytes) else text.encode()
    bundle = read_bundle(written(folder, "manifest.json", data).parent)
    assert serialized(bundle.manifest).encode() == data
    for entry in (bundle.manifest, *bundle.manifest["artifacts"].values()):
        for name in entry["files"]:
            assert (folder / name).resolve().is_relative_to(folder.resolve()), name


def read_golden(data, folder):
    digest = hashlib.sha256(written(folder, "golden.npz", data).read_bytes())
    manifest = MANIFEST | {"files": {"golden.npz": digest.hexdigest()}}
    written(folder, "manifest.json", serialized(manifest).encode())
    found = read_bundle(folder).golden()
    assert {*found} == {*GOLDEN}
    for name, array in GOLDEN.items():
        assert (found[name].dtype, found[name].shape[1:]) == (
            array.dtype,
            array.shape[1:],
        )


def read_onnx(data, folder):
    import onnx

    check_onnx(folder / "decoder.onnx", data)
    try:
        model = onnx.load_model_from_string(data)
    except Exception:  # not one sentence, but refused before anything is run
        return
    names = {
        tensor.name
        for tensor in onnx.external_data_helper._get_all_tensors(model)
        if onnx.external_data_helper.uses_external_data(tensor)
    }
    assert not names, f"kept in other files: {names}"


def models() -> list[bytes]:
    from onnx import TensorProto, helper, numpy_helper

    found = []
    for location in (TensorProto.DEFAULT, TensorProto.EXTERNAL):
        weight = numpy_helper.from_array(np.zeros(3, np.float32), "w")
        weight.data_location = location
        node = helper.make_node("Constant", [], ["c"], value=weight)
        graph = helper.make_graph([node], "graph", [], [], [weight])
        found.append(helper.make_model(graph).SerializeToString())
    return found


def packed(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


Z, X = np.zeros((2, 3), "f4"), np.ones((2, 6, 5, 1), "f4")
GOLDEN = {"z": Z, "images": X, "generated_z": Z, "generated_images": X}
GOLDEN |= {name: np.int64(2) for name in ("seed", "num_images")}
GOLDEN |= {"generate_label": np.int64(-1)}
CHANGES = st.tuples(
    st.sampled_from(sorted(GOLDEN)),
    hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0)),
)
GOLDENS = st.one_of(
    damaged(packed(**GOLDEN), words=ZIP),
    CHANGES.map(lambda change: packed(**GOLDEN | dict([change]))),
)
MANIFESTS = damaged(serialized(MANIFEST).encode())
MODELS = st.deferred(lambda: damaged(*models()))  # onnx is imported when it is needed
TARGETS = (
    Target("any bytes as `manifest.json`", MANIFESTS, read_manifest),
    Target(
        "any values in a manifest", altered(MANIFEST).map(serialized), read_manifest
    ),
    Target("any bytes as golden vectors", GOLDENS, read_golden),
    Target("any bytes as ONNX", MODELS, read_onnx),
)
