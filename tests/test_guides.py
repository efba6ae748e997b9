"""Every block of code in the README and the guides runs as printed.

Blocks of a page run in their order, in a folder with a trained run in
`saved_models/vae`, Python in one namespace. Data are a few images, and trainings last
an epoch. Only fences that name another language (`sh`: other machines, servers) do not
run.
"""

import importlib
import os
import re
import runpy
import shlex
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from tests.pretrained import NAMES
from tests.readme_tables import GUIDES, README, pages

ROOT = README.parent
PAGES = [README, *GUIDES]
SOONER = {  # in Python: the same lines, sooner
    r"epochs=\d+": "epochs=1",
    r"(\w+\.train|\w+\.test)\.images": r"\1.images[:256]",
    r"digits\.train\.labels": "digits.train.labels[:256]",
    r"range\(150\)": "range(2)",
}
NEEDS = {"runtimes": "ai_edge_litert", "serving": "uvicorn"}  # page: of an extra
LESS = {  # command, and what else it has -> an option that makes it short
    ("keras_vae.evaluate", "--samples"): ("--num-draws", "200"),
    ("keras_vae.evaluate", None): ("--num-samples", "10"),
    ("keras_vae.refit", None): ("--epochs", "2"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A few images as arrays and as pictures, and a run trained on them."""
    from keras_vae.train import main as train

    folder = tmp_path_factory.mktemp("guides")
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (240, 28, 28), np.uint8)
    np.savez(folder / "few.npz", images=images, labels=np.arange(240) % 10)
    for kind in ("cats", "dogs"):
        (folder / "pictures" / kind).mkdir(parents=True)
        for k in range(30):
            pixels = generator.integers(0, 256, (40, 36, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / kind / f"{k}.png")
    run = ["--output", str(folder / "saved_models/vae"), "--latent-dim", "20"]
    options = ["--dataset", str(folder / "few.npz"), "--epochs", "1", "--hidden", "8"]
    assert train([*options, *run]) == 0
    return folder


def test_tables_say_what_the_code_says():
    for page, text in pages().items():
        assert page.read_text("utf-8") == text, "run python -m tests.readme_tables"


def test_links_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_tables_have_a_head_and_rows():
    for page in PAGES:
        lines = page.read_text("utf-8").splitlines()
        for k, line in enumerate(lines):
            if line.startswith("|--"):
                assert lines[k - 1].startswith("|"), f"{page.name}:{k + 1}"
                assert lines[k + 1].startswith("|"), f"{page.name}:{k + 1}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_runs_as_printed(page, data, tmp_path, monkeypatch, capsys):
    import matplotlib
    import tensorflow as tf

    if page.stem in NEEDS:
        pytest.importorskip(NEEDS[page.stem])
    matplotlib.use("Agg")
    for name in ("saved_models", "pictures"):
        shutil.copytree(data / name, tmp_path / name)
    shutil.copy(data / "few.npz", tmp_path)
    for name in NAMES:  # those that come with the package
        shutil.copytree(ROOT / "saved_models" / name, tmp_path / "saved_models" / name)
    monkeypatch.chdir(tmp_path)
    # on the one device that this process has
    one = tf.distribute.MirroredStrategy
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: one(["CPU:0"]))
    monkeypatch.setattr("keras_vae.refit.NUM_DRAWS", 200)
    scope: dict = {}
    for language, code in blocks(page):
        if language == "python":
            for pattern, sooner in SOONER.items():
                code = re.sub(pattern, sooner, code)
            exec(compile(code, page.name, "exec"), scope)
        elif not language:
            for line in code.splitlines():
                run(shlex.split(line, comments=True), monkeypatch)
    capsys.readouterr()


def blocks(page):
    """Pairs (language, code) in their order, but those that set up an environment."""
    text = page.read_text("utf-8")
    text = re.sub(r"<!-- (train|test) -->\n```.*?```", "", text, flags=re.S)
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M)


def run(words, monkeypatch):
    """One command line, in this process."""
    if not words:
        return
    assert words[0] == "python", f"mark what is no command of ours as sh: {words}"
    if words[1] != "-m":
        monkeypatch.setattr(sys, "argv", words[1:])
        runpy.run_path(str(ROOT / words[1]), run_name="__main__")
        return
    module, arguments = words[2], words[3:]
    if "web" in arguments and "KERAS_VAE_NODE" not in os.environ:
        pytest.skip("the page needs onnxruntime-web, where KERAS_VAE_NODE names")
    if module == "keras_vae.train":
        arguments = few(arguments)
    kind = "--samples" if "--samples" in arguments else None
    if (module, kind) in LESS:
        option, value = LESS[module, kind]
        if option in arguments:
            arguments[arguments.index(option) + 1] = value
        else:
            arguments += [option, value]
    name = "export.__main__" if module == "export" else module
    assert importlib.import_module(name).main(arguments) == 0, words


def few(arguments):
    """The options of a training, of a few images for an epoch."""
    given = dict(zip(arguments, arguments[1:], strict=False))
    if "--resume" in arguments:
        return arguments
    name = given.get("--dataset")
    data = name if name and name.startswith("pictures") else "few.npz"
    if data != "few.npz" and "--hidden" not in arguments:  # a ladder compiles for long
        arguments = [*arguments, "--hidden", "8", "8", "--num-levels", "2"]
    if "--config" not in arguments or name:
        arguments = [*arguments, "--dataset", data]
    short = "--epochs 1 --validation-images 20 --export onnx --overwrite"
    return [*arguments, *short.split()]
