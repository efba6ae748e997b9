"""The guide after keras.io's example runs, and draws its pictures."""

import re

import keras
import matplotlib
import numpy as np
from PIL import Image

from tests.readme_tables import ROOT

TEXT = (ROOT / ".github/guides/keras_io.md").read_text(encoding="utf-8")
CODE = re.search(r"```python\n(.*?)```", TEXT, re.S)[1]


def test_the_example_of_keras_io_runs_in_under_forty_lines(tmp_path, monkeypatch):
    assert len(CODE.splitlines()) < 40
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    keras.utils.set_random_seed(0)
    # fewer images and epochs, without a download: the same lines, sooner
    code = CODE.replace('"auto"', '"digits"').replace("epochs=30", "epochs=2")
    code = code.replace("train.images", "train.images[:512]")
    code = code.replace("train.labels", "train.labels[:512]")
    scope = {}
    exec(compile(code, "keras_io.md", "exec"), scope)
    losses = scope["vae"].history.history["loss"]
    assert losses[1] < losses[0] < 600  # nats; 28 * 28 * log(2) = 543 before training
    assert scope["mean"].shape == (512, 2)
    plane = np.asarray(Image.open("latent_plane.png").convert("L"))
    assert plane.shape == (840, 840) and plane.std() > 1
    # the image of latent (1, 1) stands in the upper right corner
    corner = scope["vae"].decode([[1.0, 1.0]])[0, :, :, 0]
    shown = scope["plane"][:28, -28:]
    np.testing.assert_allclose(shown, corner, atol=1e-5)
    clusters = np.asarray(Image.open("label_clusters.png").convert("RGB"))
    assert len(np.unique(clusters.reshape(-1, 3), axis=0)) > 10  # a color a digit
