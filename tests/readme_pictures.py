"""`python -m tests.readme_pictures`: the README's pictures, by the shipped models.

The page is photographed in Chromium (`pip install '.[runtimes]'`, and the npm package
onnxruntime-web where KERAS_VAE_NODE names).
"""

import functools
import http.server
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from keras_vae.exploring import views
from keras_vae.generate import generate
from keras_vae.pictures.grids import image_grid, save_png
from keras_vae.runs.trained import TrainedRun
from tests.readme_tables import ROOT

SAVED, PICTURES = ROOT / "saved_models", ROOT / ".github/pictures"
COLUMNS, LINES = 10, 10  # of draws
INK, GROUND = "#24292f", "white"


def front(path: Path) -> None:
    """Draws, reconstructions and the plane of two latents, side by side."""
    plane = views.manifold(TrainedRun(SAVED / "mnist-2d"), label=None, steps=18)
    tiles = plane.images.reshape(-1, *plane.images.shape[2:])
    lines = [  # of squares, and of pictures about eight times as wide as high
        {
            "digits, a class in each column": _draws("mnist"),
            "the plane of two latents": image_grid(tiles, len(plane.images)),
            "emoji": _draws("emoji"),
        },
        {
            "held-out digits, and what the model makes of them": _pairs("mnist"),
            "held-out emoji, and what the model makes of them": _pairs("emoji"),
        },
    ]
    figure = Figure(figsize=(9.6, 4.3), dpi=110, layout="constrained")
    parts = figure.subfigures(2, 1, height_ratios=(4.4, 1))
    for part, panels in zip(parts, lines, strict=True):
        axes = part.subplots(1, len(panels))
        for place, (title, image) in zip(axes, panels.items(), strict=True):
            place.imshow(np.squeeze(image), cmap="gray", interpolation="antialiased")
            place.set_title(title, fontsize=8, color=INK)
            place.axis("off")
    figure.savefig(path, facecolor=GROUND)


def _draws(name):
    images = generate(SAVED / name, COLUMNS * LINES, seed=7)
    return image_grid(images, COLUMNS)


def _pairs(name):
    (path,) = (SAVED / name / "samples").glob("epoch-*-reconstructed.png")
    picture = np.asarray(Image.open(path))
    return picture[: len(picture) // 2]  # two of four lines


def explorer(path: Path) -> None:
    """The explorer page of the digits, with a digit dropped in."""
    from playwright.sync_api import sync_playwright

    from export import export_decoder
    from export.runtimes.web_chromium import CHROMIUM
    from keras_vae import load, load_run

    with tempfile.TemporaryDirectory() as folder:
        vae, _ = load_run(SAVED / "mnist")
        export_decoder(vae, folder, ["web"], with_encoder=True)
        test = load("digits").test
        label = test.labels[7]
        save_png(test.images[7], Path(folder) / "digit.png")
        handler = functools.partial(Silent, directory=f"{folder}/web")
        with (
            http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
            sync_playwright() as playwright,
        ):
            threading.Thread(target=server.serve_forever, daemon=True).start()
            browser = playwright.chromium.launch(executable_path=shutil.which(CHROMIUM))
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(f"http://127.0.0.1:{server.server_port}/#seed=7&label={label}")
            page.wait_for_selector("figure[aria-busy=false]")
            page.set_input_files("#file", f"{folder}/digit.png")
            page.wait_for_selector("#encoding[aria-busy=false]")
            page.wait_for_selector("figure[aria-busy=false]")
            page.screenshot(path=path)
            browser.close()
            server.shutdown()


class Silent(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a log."""

    def log_message(self, *arguments):
        pass


if __name__ == "__main__":
    front(PICTURES / "front.png")
    explorer(PICTURES / "explorer.png")
    sys.exit(0)
