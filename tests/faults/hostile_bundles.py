"""Bundles of a stranger: graphs that are after something, manifests that lie, names."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from export.__main__ import main as export
from export.manifest import serialized
from keras_vae.files import sha256_of
from keras_vae.generate import main as generate
from tests.faults import models
from tests.faults.commands import call, failure_of
from tests.faults.tally import Tally
from tests.faults.traps import Trap

MUST = "exit 4, one line, nothing else opened, made or allocated"


def rewrite(bundle: Path, change) -> None:
    """Changes the manifest, whose checksum agrees again."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(serialized(manifest))


def refused(bundle: Path, trap: Trap, commands=("generate", "verify")) -> str | None:
    """What goes wrong where the bundle is to be refused."""
    output = bundle.parent / "images.png"
    calls = {
        "generate": (generate, bundle, "--output", output),
        "verify": (export, "verify", bundle),
    }
    for name in commands:
        failure, outcome = trap.sprung(call, *calls[name])
        if failure := failure or failure_of(outcome, 4, str(bundle)):
            output.unlink(missing_ok=True)
            return f"{name}: {failure}"
    return None


# === ONNX ===


def decoder(images="images", z="z", dims=("batch", 3), nodes=(), weights=()):
    """A decoder of one matrix product and a reshape, or of other nodes."""
    kernel = np.ones((3, 30), np.float32)
    weights = [*weights, numpy_helper.from_array(kernel, "kernel")]
    weights.append(numpy_helper.from_array(np.array([-1, 6, 5, 1]), "shape"))
    nodes = nodes or [
        helper.make_node("MatMul", [z, "kernel"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], [images]),
    ]
    graph = helper.make_graph(
        nodes,
        "decoder",
        [helper.make_tensor_value_info(z, TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info(images, TensorProto.FLOAT, None)],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    facts = {"keras_vae.prior": "standard_normal", "keras_vae.num_classes": "None"}
    helper.set_model_props(model, facts)
    return model


def weighted(tensor):
    """A decoder that multiplies by a tensor of its own."""
    nodes = [
        helper.make_node("MatMul", ["z", tensor.name], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["images"]),
    ]
    return decoder(nodes=nodes, weights=[tensor])


def external(location):
    tensor = TensorProto(name="other", data_type=TensorProto.FLOAT, dims=[3, 30])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", str(location)), ("length", "360")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return weighted(tensor)


def huge_weight():
    tensor = TensorProto(name="other", data_type=TensorProto.FLOAT, dims=[3, 2**40])
    return weighted(tensor)


def filled(size):
    """Nodes that make images of a constant of so many numbers."""
    tensor = numpy_helper.from_array(np.array(size), "size")
    value = numpy_helper.from_array(np.array([np.nan], np.float32))
    node = helper.make_node("ConstantOfShape", ["size"], ["images"], value=value)
    return decoder(nodes=[node], weights=[tensor])


def own_operator():
    node = helper.make_node("Run", ["z"], ["images"], domain="org.stranger")
    return decoder(nodes=[node])


def graphs(folder: Path):
    """`decoder.onnx` of a stranger, in a bundle that agrees with it and on its own."""
    bundle, alone = folder / "bundle", folder / "alone"
    models.write_bundle(bundle)
    trap = Trap(folder)
    (bundle / "link").symlink_to(trap.secret)
    (bundle / "folder").symlink_to(folder)
    os.link(trap.secret, bundle / "hard")
    alone.mkdir()
    cases = {
        f"external data at {place}": external(place)
        for place in (trap.secret, "../secret", "a/../../secret", "link", "hard")
        + ("folder/secret", "none", "x" * 10_000, "\x1b[31m\n")
    }
    cases |= {
        "no protocol buffer": b"junk" * 100,
        "an empty file": b"",
        "a text": b"a decoder\n",
        "another input": decoder(z="x"),
        "other dimensions": decoder(dims=["batch", "latents"]),
        "a scalar": decoder(dims=[]),
        "another output": decoder(images="x"),
        "images that are no numbers": filled([64, 6, 5, 1]),
        "images of another shape": filled([64, 6, 5]),
        "too few images": filled([1, 6, 5, 1]),
        "a name of 10 kB": decoder(z="x" * 10_000),
        "a huge weight without data": huge_weight(),
        "an operator of its own": own_operator(),
    }
    tally = Tally("decoder.onnx of a stranger", MUST)
    for what, model in cases.items():
        data = model if isinstance(model, bytes) else model.SerializeToString()
        for place in (bundle, alone):
            (place / "decoder.onnx").write_bytes(data)
        files = {"decoder.onnx": sha256_of(bundle / "decoder.onnx")}
        entry = {"files": files}
        rewrite(bundle, lambda m, e=entry: m["artifacts"]["decoder.onnx"].update(e))
        failure = refused(bundle, trap) or refused(alone, trap, ["generate"])
        tally.count(failure and f"{what}: {failure}")
    yield tally
    yield program(folder, trap)


def program(folder: Path, trap: Trap) -> Tally:
    """A SavedModel that writes a file as soon as it is loaded."""
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(["a"], [1]), 0
            )

        @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="z")])
        def decode(self, z):
            tf.io.write_file(str(trap.made), "made")
            return {"images": tf.zeros((1, 6, 5, 1))}

    bundle = folder / "program"
    models.write_bundle(bundle, ["saved_model"])
    shutil.rmtree(bundle / "saved_model")
    module = Module()
    signatures = {"decode": module.decode}
    tf.saved_model.save(module, str(bundle / "saved_model"), signatures)
    names = [p for p in (bundle / "saved_model").rglob("*") if p.is_file()]
    files = {p.relative_to(bundle).as_posix(): sha256_of(p) for p in names}
    entry = {"files": files}
    rewrite(bundle, lambda m: m["artifacts"]["saved_model"].update(entry))
    tally = Tally("SavedModel of a stranger", "verify does not run it without --trust")
    failure, outcome = trap.sprung(call, export, "verify", bundle)
    if "--trust" not in outcome.out or outcome.status:
        failure = failure or f"{outcome}"
    tally.count(failure)
    return tally


# === Manifests ===

ENTRY = {"format": "onnx", "max_error": 0.0, "tolerance": 1e-5}
SHA = "0" * 64


def artifact(**values):
    return lambda m: m["artifacts"]["decoder.onnx"].update(values)


def named(name):
    return lambda m: m["artifacts"].update({name: ENTRY | {"files": {name: SHA}}})


def listed(name):
    return lambda m: m["files"].update({name: SHA})


NAMES = ("../x", "..", "/etc/passwd", "a/../../x", "a//b", "a\\b", "C:x", "a\0", ".")
NAMES += ("x" * 256, "\u00e9" * 200, ".moving", ".hidden/x", "\x1b[31m", "\ud800", "")
NAMES += ("\u202ea", "manifest.json/x", "a/")

CHANGES = {
    "latent_dim": ["3", 3.0, True, 0, -1, 2**40, None, [3]],
    "image_shape": [[6, 5], [6, 5, 0], [6, 5, "1"], "651", {"a": 1}, [2**40] * 3, None],
    "num_classes": [0, -1, "3", 2**40, 1.5, [], True],
    "class_names": ["abc", [1], {"0": "a"}, 3],
    "latent_names": ["abc", ["x"], [1, 2, 3], ["x", None, "a\nb"], ["", "x", "y"]],
    "inputs": [None, {}, {"z": {"dtype": "float64", "shape": ["batch", 3]}}],
    "outputs": [None, {"images": {}}],
    "generator": [None, {}, {"exact_latents": 1}, {"exact_latents": True}],
    "tolerance": [0, -1, "1e-5", 1e9, float("nan"), None],
    "weights_sha256": [1, "", "A" * 64, None],
    "version": [1, None, "x" * 10_000, "a\nb"],
    "prior": [None, {}, "x" * 10_000],
    "likelihood": [None, 3],
    "libraries": [None, [], {"keras": 3}, {"a\0": "1"}],
    "training": [[], "text", 3],
    "files": [None, [], {}, {"golden.npz": 1}, {"golden.npz": "x"}],
    "artifacts": [None, [], "text", {"decoder.onnx": None}],
}
ENTRIES = {
    "format": [["onnx"], None, "x" * 10_000, "\x1b", 3],
    "tolerance": [1e9, float("nan"), float("inf"), 0, "1", None],
    "max_error": ["0", -1, 1, None],
    "files": [None, {}, [], {"generator.onnx": SHA}, {"decoder.onnx": 1}],
}
TEXTS = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]\n",
    "no text": b"\xff\xfe",
    "a deep nest": b"[" * 100_000,
    "a long number": b'{"a": ' + b"1" * 100_000 + b"}",
    "17 MB": b" " * 17_000_000,
}


def manifests(folder: Path):
    """`manifest.json` of a stranger, whose own checksum agrees."""
    bundle, trap = folder / "bundle", Trap(folder)
    models.write_bundle(bundle)
    path = bundle / "manifest.json"
    good = path.read_bytes()
    cases = {
        f"{name} {value!r:.50}": lambda m, n=name, v=value: m.update({n: v})
        for name, values in CHANGES.items()
        for value in values
    }
    for name, values in ENTRIES.items():
        cases |= {f"{name} {v!r:.50}": artifact(**{name: v}) for v in values}
    for name in NAMES:
        cases[f"artifact {name!r:.50}"] = named(name)
        cases[f"file {name!r:.50}"] = listed(name)
    for name in json.loads(good):
        if name not in ("sha256", "latent_names"):  # bundles of before have no such
            cases[f"no {name}"] = lambda m, n=name: m.pop(n)
    tally = Tally("manifest.json of a stranger", MUST)
    for what, change in cases.items():
        rewrite(bundle, change)
        failure = refused(bundle, trap)
        tally.count(failure and f"{what}: {failure}")
        path.write_bytes(good)
    rewrite(bundle, artifact(format="ony"))  # of a later version, perhaps
    tally.count(refused(bundle, trap, ["verify"]))
    for what, text in TEXTS.items():
        path.write_bytes(text)
        failure = refused(bundle, trap)
        tally.count(failure and f"{what}: {failure}")
    yield tally


# === Names of classes ===

TEXTS_OF_CLASSES = {
    "HTML": "<img src=x onerror=alert(1)><script>alert(1)</script>",
    "quotes": "\"'`}{${1}</span>&amp;\\",
    "right to left": "\u202e\u05d0\u05d1\u05d2",
    "10 kB": "x" * 10_000,
    "NUL": "a\0b\u2028\n\t\x1b[31m",
    "half a character": "\ud83d",
    "a format": "%s%n{0}",
    "nothing": "",
}


def names(folder: Path):
    """Class names are carried as they are, and break nothing that reads a bundle."""
    from export import export_decoder
    from export.runtimes import python_onnxruntime

    tally = Tally("a class by any name", "every reader reads; no path of this machine")
    cats, bundle = folder / "cats", folder / "bundle"
    cats.mkdir()
    texts = TEXTS_OF_CLASSES | {"a path": str(cats)}
    facts = training(folder, {"class_names": [*texts.values()]})
    export_decoder(models.model()[0], bundle, ["onnx", "c"], training=facts)
    python_onnxruntime.verify(bundle)
    for argv in (
        (export, "verify", bundle, "--trust"),
        (generate, bundle, "--output", folder / "images.png"),
    ):
        outcome = call(*argv)
        tally.count(outcome.err if outcome.status else None)
    text = (bundle / "manifest.json").read_text()
    tally.count("a folder of this machine" if str(folder) in text else None)
    shown = json.loads(text)["class_names"]
    for what, name in zip(texts, shown, strict=True):
        expected = TEXTS_OF_CLASSES.get(what, cats.name)
        tally.count(None if name == expected else f"{what}: {name!r:.50}")
    yield tally


def training(folder, facts):
    """As a run's folder tells them."""
    from export.bundle import training_facts

    config = {"data": facts | {"name": "mine", "provenance": f"In {folder}"}}
    (folder / "config.json").write_text(json.dumps(config))
    return training_facts(folder)
