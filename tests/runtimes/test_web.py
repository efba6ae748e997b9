"""The page of the `web` format in Chromium: its pixels, latents, controls and requests.

It needs Chromium, the Python package playwright, and the npm package onnxruntime-web.
"""

import json
import re

import keras
import numpy as np
import pytest

from export import export_decoder
from export.parity import Artifact, check_parity
from export.runtimes.python_onnxruntime import load_decoder
from export.to_web import find_runtime
from keras_vae.distributions.portable_noise import noise
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def tiny(image_shape=(6, 5, 1), num_classes=None):
    keras.utils.set_random_seed(0)
    shape = {"posterior_params": 6, "likelihood_params": 1, "hidden": (8,)}
    parts = mlp(image_shape, 3, num_classes=num_classes, **shape)
    return VAE(*parts, num_classes=num_classes)


def test_missing_package_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("export.to_web.PAGE", tmp_path / "page")
    monkeypatch.delenv("KERAS_VAE_NODE", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImportError, match="npm install --ignore-scripts onnxruntime"):
        export_decoder(tiny(), tmp_path / "export", ["web"])
    assert not (tmp_path / "export").exists()


@pytest.fixture(scope="module", params=["grey", "conditional color"])
def exported(request, tmp_path_factory):
    """A model and the folder it is exported to."""
    try:
        find_runtime()
    except ImportError as error:
        pytest.skip(str(error))
    vae = tiny() if request.param == "grey" else tiny((8, 8, 3), num_classes=4)
    folder = tmp_path_factory.mktemp("run") / "export"
    export_decoder(vae, folder, ["web"])
    return vae, folder


@pytest.fixture(scope="module")
def served(exported, serve):
    """The page's folder, its golden vectors, and its address on this machine."""
    folder = exported[1]
    with np.load(folder / "golden.npz") as arrays:
        golden = dict(arrays)
    return folder / "web", golden, serve(folder / "web")


def test_models_in_chromium_give_what_keras_gives(exported):
    """Through `web_chromium`, which needs no playwright."""
    try:
        from export.runtimes.web_chromium import load_decoder, load_generator
    except ImportError as error:
        pytest.skip(str(error))
    vae, folder = exported
    artifact = Artifact(
        "web", load_decoder(folder / "web"), load_generator(folder / "web")
    )
    assert check_parity(vae, [artifact])["web"] <= 1e-5


@pytest.fixture(scope="module")
def desktop(watch, served):
    watched = watch(viewport=DESKTOP)
    watched.page.goto(served[2])
    yield watched
    watched.context.close()


@pytest.fixture
def page(desktop, served):
    """The page at desktop width with the golden seed; nothing may go wrong in it."""
    golden, page = served[1], desktop.page
    label = golden["generate_label"]
    for seed in (0, 42):  # the address must change for the page to follow it
        page.evaluate(f"location.hash = 'seed={seed}&label={label}&test'")
        page.wait_for_selector(f"#origin:text-is('seed {seed}, image 0')")
    painted(page)
    yield page
    desktop.check(served[2])


@pytest.fixture
def phone(watch, served):
    watched = watch(viewport=PHONE, has_touch=True)
    watched.page.goto(f"{served[2]}#seed=42")
    painted(watched.page)
    yield watched.page
    watched.check(served[2])
    watched.context.close()


def painted(page):
    page.wait_for_selector("figure[aria-busy=false]", timeout=30_000)


def canvas(page, selector="#image"):
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


def assert_shows(page, image, selector="#image"):
    """Compares a canvas with an image, float32 (H, W, C) in [0, 1]."""
    expected = np.broadcast_to(np.rint(255 * image), (*image.shape[:2], 3))
    difference = np.abs(canvas(page, selector).astype(int) - expected)
    assert difference.max() <= 1


def decoded(served, z):
    folder, golden, _ = served
    labels = [np.array([golden["generate_label"]])] if "label" in golden else []
    return load_decoder(folder / "decoder.onnx")(z[None], *labels)[0]


def test_first_images_are_the_seeds(page, served):
    golden = served[1]
    assert_shows(page, golden["generated_images"][0])
    for k in (1, 15):
        assert_shows(
            page,
            golden["generated_images"][k],
            f".sample:nth-child({k + 1}) canvas",
        )


def test_latents_have_the_golden_bits(page, served):
    golden = served[1]
    label = "undefined" if golden["generate_label"] < 0 else golden["generate_label"]
    z = page.evaluate(
        "import('./decoder.js').then(({load}) => load()).then((model) =>"
        f"model.generate({golden['seed']}, 16, {label}))"
        ".then(({z}) => Array.from(z))"
    )
    z = np.array(z).astype(np.float32).reshape(16, 3)
    np.testing.assert_array_equal(z, golden["generated_z"])
    np.testing.assert_array_equal(z, noise(42, 16, 3)[0])


def test_slider_moves_one_latent(page, served):
    z = served[1]["generated_z"][0].copy()
    before = canvas(page)
    slider = page.get_by_label("z1", exact=True)
    slider.fill("2.5")
    painted(page)
    z[1] = 2.5
    assert_shows(page, decoded(served, z))
    assert (canvas(page) != before).any()
    slider.press("ArrowLeft")
    slider.press("Shift+ArrowLeft")
    painted(page)
    z[1] = np.float32(np.float32(2.5 - 0.1) - 0.5)
    assert_shows(page, decoded(served, z))
    assert "moved" in page.inner_text("#origin")


def test_sliders_stand_in_order_of_importance(page, served):
    manifest = json.loads((served[0] / "manifest.json").read_text())
    order = np.argsort(manifest["importance"])[::-1]
    labels = page.locator(".latent label").all_inner_texts()
    assert labels == [f"z{d}" for d in order]


def test_sample_loads_its_latents(page, served):
    page.locator(".sample").nth(7).click()
    painted(page)
    assert_shows(page, served[1]["generated_images"][7])
    assert page.inner_text("#origin") == "seed 42, image 7"
    assert "seed=42&image=7" in page.url


def test_seed_is_visible_editable_and_checked(page, served):
    page.get_by_role("button", name="Random").click()
    seed = int(page.input_value("#seed"))
    assert 0 <= seed < 2**24
    page.fill("#seed", "42")
    page.press("#seed", "Enter")
    page.wait_for_selector("#origin:text-is('seed 42, image 0')")
    painted(page)
    assert_shows(page, served[1]["generated_images"][0])
    page.fill("#seed", str(2**24))
    page.press("#seed", "Enter")
    assert not page.eval_on_selector("#seed", "field => field.validity.valid")
    assert page.inner_text("#origin") == "seed 42, image 0"


def test_label_picker_keeps_the_latents(page, served):
    folder, golden, _ = served
    chips = page.locator(".chip")
    if "label" not in golden:
        assert chips.count() == 0 and not page.is_visible("#labels")
        return
    assert chips.count() == 4
    assert page.is_checked("[name=label][value='3']")
    page.locator("[name=label][value='1']").check(force=True)
    painted(page)
    assert page.url.endswith("#seed=42&image=0&label=1")
    z = golden["generated_z"][:1]
    assert_shows(page, load_decoder(folder / "decoder.onnx")(z, np.array([1]))[0])


def test_a_class_chosen_in_a_hurry_leaves_the_new_seed(page, served):
    if "label" not in served[1]:
        return
    page.evaluate(
        """() => {
            document.querySelector("#random").click();
            document.querySelector("[name=label][value='1']").click();
        }"""
    )
    seed = page.input_value("#seed")
    page.wait_for_selector(f"#origin:text-is('seed {seed}, image 0')")
    painted(page)
    assert page.url.endswith(f"#seed={seed}&image=0&label=1")
    folder = served[0]
    z = noise(int(seed), 1, 3)[0]
    assert_shows(page, load_decoder(folder / "decoder.onnx")(z, np.array([1]))[0])


def test_the_map_is_coarse_only_while_the_decoder_is_slow(watch, served):
    watched = watch(viewport=DESKTOP)
    page, width = watched.page, served[1]["images"].shape[2]
    page.goto(served[2])
    painted(page)

    def drawn(latent):
        """Images in a row of the map, when a latent that it does not show was moved."""
        shown = {page.input_value("#across"), page.input_value("#up")}
        (other,) = {"0", "1", "2"} - shown
        page.get_by_label(f"z{other}", exact=True).fill(latent)
        page.wait_for_timeout(1500)
        return page.eval_on_selector("#map", "map => map.width") // width

    assert drawn("0.5") == 9
    page.evaluate(  # ONNX Runtime reads the clock, too: some times in each call
        """() => {
            const now = performance.now.bind(performance);
            [window.slow, window.lost] = [true, 0];
            performance.now = () => now() + (window.lost += window.slow ? 60 : 0);
        }"""
    )
    drawn("0.6")
    assert drawn("0.7") < 9
    page.evaluate("window.slow = false")
    drawn("0.8")
    drawn("0.9")
    assert drawn("1.0") == 9
    watched.context.close()


def test_pad_sets_two_latents(page, served):
    x, y = (int(page.input_value(f"#{axis}")) for axis in ("across", "up"))
    z = served[1]["generated_z"][0].copy()
    box = page.locator("#pad").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    painted(page)
    z[x], z[y] = -2, 2
    shown = [float(page.locator(f"output[for=z{d}]").inner_text()) for d in (x, y)]
    np.testing.assert_allclose(shown, [-2, 2], atol=0.03)
    page.press("#pad", "ArrowUp")
    painted(page)
    shown = [float(page.locator(f"output[for=z{d}]").inner_text()) for d in (x, y)]
    np.testing.assert_allclose(shown, [-2, 2.1], atol=0.03)


def test_blend_ends_at_the_seeds(page, served):
    page.fill("#to", "42")
    page.press("#to", "Enter")
    height, width = served[1]["images"].shape[1:3]
    page.wait_for_selector("#strip")
    page.wait_for_timeout(300)
    assert canvas(page, "#strip").shape == (height, 9 * width, 3)
    page.fill("#blend", "1")
    page.wait_for_selector("#origin:text-is('between seeds 1 and 42, 100 %')")
    painted(page)
    assert_shows(page, served[1]["generated_images"][0])
    page.fill("#blend", "0.5")
    assert page.locator(".sample[aria-pressed=true]").count() == 0
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Pause").click()
    assert float(page.input_value("#blend")) != 0.5
    page.get_by_label("z0", exact=True).press("ArrowUp")
    assert re.fullmatch("between seeds 1 and 42, .*, moved", page.inner_text("#origin"))


def test_png_holds_the_pixels(page, served, tmp_path):
    from PIL import Image

    image = served[1]["generated_images"][0]
    for button, scale in (("Image", 1), ("Large", -(-512 // max(image.shape[:2])))):
        with page.expect_download() as download:
            page.get_by_role("button", name=button, exact=True).click()
        download.value.save_as(tmp_path / "image.png")
        assert re.fullmatch(
            r"seed-42-image-0(-large)?\.png", download.value.suggested_filename
        )
        with Image.open(tmp_path / "image.png") as file:
            array = np.asarray(file.convert("RGB"))[::scale, ::scale]
        expected = np.broadcast_to(np.rint(255 * image), array.shape)
        assert np.abs(array - expected).max() <= 1


def test_phone_has_no_sideways_scroll(phone):
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    phone.locator(".sample").nth(3).tap()
    painted(phone)
    assert phone.inner_text("#origin") == "seed 42, image 3"


def test_page_without_an_encoder_asks_for_no_picture(page):
    assert page.is_hidden("#own")


def test_every_control_has_a_name(page):
    nameless = page.evaluate(
        "Array.from(document.querySelectorAll('button, input, select'))"
        ".filter((e) => !(e.ariaLabel || e.getAttribute('aria-label')"
        " || e.labels?.length || e.textContent.trim())).map((e) => e.outerHTML)"
    )
    assert nameless == []
