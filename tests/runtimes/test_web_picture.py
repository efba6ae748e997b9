"""The page of a bundle with an encoder: a reader's picture, its place and its score."""

import contextlib
import io
import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

from export import export_decoder
from export.encoder import score_function
from export.to_web import PAGE, RUNTIME, find_runtime
from export.verify import verify
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp

DESKTOP = {"width": 1280, "height": 800}
HOSTILE = "<img src=x onerror=\"document.title='broken'\">.png"


def export(folder, image_shape, num_classes, **options):
    try:
        find_runtime()
    except ImportError as error:
        pytest.skip(str(error))
    keras.utils.set_random_seed(0)
    shape = {"posterior_params": 6, "likelihood_params": 1, "hidden": (8,)}
    parts = mlp(image_shape, 3, num_classes=num_classes, **shape)
    vae = VAE(*parts, num_classes=num_classes, **options)
    export_decoder(vae, folder, ["web"], with_encoder=True)
    return vae, folder


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """A conditional model of 6x5 grey pixels, and its bundle."""
    return export(tmp_path_factory.mktemp("grey") / "export", (6, 5, 1), 3)


@pytest.fixture(scope="module")
def color(tmp_path_factory):
    """A model of 8x8 color pixels whose KL divergence is not known in closed form."""
    folder = tmp_path_factory.mktemp("color") / "export"
    return export(folder, (8, 8, 3), None, prior="mixture")


@pytest.fixture
def opened(watch, serve):
    """Opens the page of a bundle at desktop width; nothing may go wrong in it."""

    @contextlib.contextmanager
    def opened(folder, place=""):
        address = serve(folder / "web")
        watched = watch(viewport=DESKTOP)
        watched.page.goto(address + place)
        settled(watched.page)
        yield watched.page
        watched.check(address)
        watched.context.close()

    return opened


@pytest.fixture
def page(opened, grey):
    """The page of the grey model."""
    with opened(grey[1], "#seed=42&label=1") as page:
        yield page


def settled(page):
    page.wait_for_selector("figure[aria-busy=false]", timeout=30_000)


def png(pixels, mode):
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, "png")
    return file.getvalue()


def give(page, data, name="picture.png"):
    file = {"name": name, "mimeType": "image/png", "buffer": data}
    page.set_input_files("#file", file)


def encoded(page):
    page.wait_for_selector("#encoding[aria-busy=false]")
    settled(page)


def canvas(page, selector):
    """A canvas's colors, uint8 (height, width, 3)."""
    shape, data = page.eval_on_selector(
        selector,
        """canvas => {
            const copy = new OffscreenCanvas(canvas.width, canvas.height);
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(canvas, 0, 0);
            const { data } = context.getImageData(0, 0, copy.width, copy.height);
            return [[copy.height, copy.width, 4], Array.from(data)];
        }""",
    )
    return np.array(data, np.uint8).reshape(shape)[..., :3]


def sliders(page):
    return [float(page.input_value(f"#z{d}")) for d in range(3)]


def assert_is_shown(page, vae, x, *label):
    """The page shows where x (1, H, W, C) lies, its reconstruction, and its score."""
    mean = vae.encode(x, *label)
    np.testing.assert_allclose(sliders(page), mean[0], atol=1e-5)
    expected = np.rint(255 * vae.reconstruct(x, *label)[0])
    for selector in ("#reconstruction", "#image"):
        difference = np.abs(canvas(page, selector) - expected)
        assert difference.max() <= 1
    assert page.inner_text("#origin") == "your picture"
    shown = re.fullmatch(r"(-?[\d.]+) nats", page.inner_text("#nats"))
    score = score_function(vae)(x, *label)["elbo_at_mean"]
    assert abs(float(shown[1]) - score[0]) <= 0.06  # it has one digit


def assert_is_compared(page, vae, label):
    """The page names the score of the first image of seed 0, of the same class."""
    sentence = page.inner_text("#score-meaning").removesuffix(".")
    shown = float(sentence.rpartition("image 0 of seed 0 has ")[2])
    x = vae.decode(vae.latents.draw(0, 1), label)
    score = score_function(vae)(x, label)["elbo_at_mean"]
    assert abs(shown - score[0]) <= 0.06  # it has one digit


def test_encoder_and_score_in_chromium_give_what_keras_gives(grey, color):
    """Through `web_chromium`, which needs no playwright."""
    for _, folder in (grey, color):
        (check,) = verify(folder, trust=True)
        if check.error is None:
            pytest.skip(check.note)
        assert check.error <= 1e-5 and check.latents is not False


def test_picture_of_the_models_size_is_taken_as_it_is(page, grey):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5), np.uint8)
    give(page, png(pixels, "L"))
    encoded(page)
    x = np.float32(pixels[None, ..., None] / 255)
    np.testing.assert_array_equal(canvas(page, "#picture")[..., 0], pixels)
    assert_is_shown(page, grey[0], x, np.array([1]))
    assert "log p(x | z = mean) − KL" in page.inner_text("#score-meaning")
    assert_is_compared(page, grey[0], np.array([1]))
    page.locator("[name=label][value='2']").check(force=True)
    page.wait_for_function("document.querySelector('#encoding').ariaBusy === 'false'")
    page.wait_for_timeout(200)
    assert_is_shown(page, grey[0], x, np.array([2]))
    assert_is_compared(page, grey[0], np.array([2]))


def test_color_picture_in_a_page_of_color(opened, color):
    vae, folder = color
    with opened(folder) as page:
        pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
        give(page, png(pixels, "RGB"))
        encoded(page)
        np.testing.assert_array_equal(canvas(page, "#picture"), pixels)
        assert_is_shown(page, vae, np.float32(pixels[None] / 255))
        assert "log q(mean|x)" in page.inner_text("#score-meaning")


def test_picture_ends_the_motion_between_two_seeds(page, grey):
    page.get_by_role("button", name="Play").click()
    pixels = np.random.default_rng(6).integers(0, 256, (6, 5), np.uint8)
    give(page, png(pixels, "L"))
    page.wait_for_selector("#origin:text-is('your picture')")
    page.wait_for_timeout(300)
    encoded(page)
    assert page.get_by_role("button", name="Play").count() == 1
    x = np.float32(pixels[None, ..., None] / 255)
    assert_is_shown(page, grey[0], x, np.array([1]))


def test_picture_for_a_model_with_transparency_is_opaque(opened, tmp_path):
    vae, folder = export(tmp_path / "export", (4, 4, 4), None)
    with opened(folder) as page:
        pixels = np.random.default_rng(5).integers(0, 256, (4, 4, 3), np.uint8)
        give(page, png(pixels, "RGB"))
        encoded(page)
        x = np.ones((1, 4, 4, 4), np.float32)
        x[..., :3] = pixels / 255
        np.testing.assert_allclose(sliders(page), vae.encode(x)[0], atol=1e-5)
        assert re.fullmatch(r"-?[\d.]+ nats", page.inner_text("#nats"))
        alpha = page.eval_on_selector(
            "#reconstruction",
            """canvas => Array.from(
                canvas.getContext("2d").getImageData(0, 0, 4, 4).data
            ).filter((_, k) => k % 4 === 3)""",
        )
        expected = np.rint(255 * vae.reconstruct(x)[0, ..., 3]).ravel()
        assert np.abs(np.array(alpha) - expected).max() <= 1


@pytest.mark.parametrize("bundle, mode", [("grey", "L"), ("color", "RGB")])
def test_light_and_dark_can_be_turned(opened, request, bundle, mode):
    vae, folder = request.getfixturevalue(bundle)
    label = [np.array([0])] if mode == "L" else []
    with opened(folder) as page:
        H, W, C = shape = vae.image_shape
        pixels = np.random.default_rng(4).integers(0, 256, shape, np.uint8)
        give(page, png(pixels[..., 0] if C == 1 else pixels, mode))
        encoded(page)
        invert = page.get_by_role("checkbox", name="Invert")
        taken = (pixels / 255).astype(np.float32)
        for x in (1 - taken, taken):
            invert.press("Space")
            encoded(page)
            expected = np.broadcast_to(np.rint(255 * x), (H, W, 3))
            difference = np.abs(canvas(page, "#picture") - expected)
            assert difference.max() == 0
            assert_is_shown(page, vae, x[None], *label)


def test_other_sizes_are_cropped_scaled_and_made_grey_as_for_training(page):
    """Pillow's grey of the color in the middle; the sides, cut off, are others."""
    pixels = np.zeros((120, 400, 4), np.uint8)
    pixels[:, 120:280] = (200, 30, 90, 255)
    give(page, png(pixels, "RGBA"))
    encoded(page)
    grey = Image.new("RGB", (1, 1), (200, 30, 90)).convert("L").getpixel((0, 0))
    np.testing.assert_array_equal(canvas(page, "#picture"), np.full((6, 5, 3), grey))
    give(page, png(np.zeros((120, 100, 4), np.uint8), "RGBA"))  # transparent
    page.wait_for_timeout(100)
    encoded(page)
    np.testing.assert_array_equal(canvas(page, "#picture"), np.full((6, 5, 3), 255))


def test_picture_can_be_dropped_anywhere(page, grey):
    pixels = np.random.default_rng(2).integers(0, 256, (6, 5), np.uint8)
    transfer = page.evaluate_handle(
        """(bytes) => {
            const transfer = new DataTransfer();
            const blob = new File([Uint8Array.from(bytes)], "dropped.png");
            transfer.items.add(blob);
            return transfer;
        }""",
        list(png(pixels, "L")),
    )
    page.dispatch_event("footer", "dragover", {"dataTransfer": transfer})
    assert page.evaluate("document.body.className") == "dropping"
    page.dispatch_event("footer", "drop", {"dataTransfer": transfer})
    encoded(page)
    assert page.evaluate("document.body.className") == ""
    assert page.evaluate("document.querySelector('#file').files[0].name") == (
        "dropped.png"
    )
    x = np.float32(pixels[None, ..., None] / 255)
    assert_is_shown(page, grey[0], x, np.array([1]))


def test_file_that_is_no_picture_is_one_line(page):
    before = sliders(page)
    give(page, b"not a picture", HOSTILE)
    page.wait_for_selector("#notice:not(:empty)")
    line = page.text_content("#notice")
    assert line == f"{HOSTILE} is no picture that this browser can read."
    assert page.locator("#notice *").count() == 0
    assert page.title() == "Latent explorer"
    assert sliders(page) == before and page.is_hidden("#encoding")


def test_a_page_that_only_draws_does_not_load_the_encoder(watch, serve, grey):
    address = serve(grey[1] / "web")
    watched = watch(viewport=DESKTOP)
    watched.page.goto(address)
    settled(watched.page)
    assert not [url for url in watched.requests if re.search("encoder|score", url)]
    give(watched.page, png(np.zeros((6, 5), np.uint8), "L"))
    encoded(watched.page)
    asked = [
        url for url in watched.requests if re.search(r"(encoder|score)\.onnx", url)
    ]
    assert asked == [f"{address}score.onnx"]
    watched.check(address)
    watched.context.close()


def test_page_without_a_score_still_encodes(watch, serve, grey, tmp_path):
    import shutil

    vae, folder = grey
    web = shutil.copytree(folder / "web", tmp_path / "web")
    facts = json.loads((web / "manifest.json").read_text())
    del facts["score"]
    (web / "manifest.json").write_text(json.dumps(facts))
    (web / "score.onnx").unlink()
    watched = watch(viewport=DESKTOP)
    watched.page.goto(serve(web))
    settled(watched.page)
    pixels = np.random.default_rng(3).integers(0, 256, (6, 5), np.uint8)
    give(watched.page, png(pixels, "L"))
    encoded(watched.page)
    x, label = np.float32(pixels[None, ..., None] / 255), np.array([0])
    expected = np.rint(255 * vae.reconstruct(x, label)[0])
    assert np.abs(canvas(watched.page, "#reconstruction") - expected).max() <= 1
    assert watched.page.is_hidden("#score")
    watched.context.close()


def test_code_of_the_page_is_small(grey):
    """Beside ONNX Runtime Web and the models; in modules that can be read."""
    web = grey[1] / "web"
    code = {path for path in web.iterdir() if path.suffix != ".onnx"}
    code -= {web / name for name in (*RUNTIME, "manifest.json")}
    assert {path.name for path in code} == {path.name for path in PAGE.iterdir()}
    assert sum(path.stat().st_size for path in code) < 100_000
    for path in PAGE.iterdir():
        assert len(path.read_text().splitlines()) <= 350, path
