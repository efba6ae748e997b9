"""The page with the keyboard alone, by touch, and as axe-core sees it."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from export import export_decoder
from export.to_web import find_runtime
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
# What can take the keyboard's focus; of radio buttons, the one that is checked.
FOCUSABLE = """[...document.querySelectorAll("button, input, select, [tabindex]")]
    .filter((one) => one.checkVisibility() && (one.type !== "radio" || one.checked))"""


@pytest.fixture(scope="module")
def address(tmp_path_factory, serve):
    """The page of a conditional model of 24 latents, with its encoder."""
    try:
        find_runtime()
    except ImportError as error:
        pytest.skip(str(error))
    keras.utils.set_random_seed(0)
    shape = {"posterior_params": 48, "likelihood_params": 1, "hidden": (8,)}
    vae = VAE(*mlp((6, 5, 1), 24, num_classes=3, **shape), num_classes=3)
    vae.decoder.weights[0][5:].assign(0 * vae.decoder.weights[0][5:])  # idle ones
    folder = tmp_path_factory.mktemp("run") / "export"
    training = {"data": {"class_names": ["left", "right", "both"]}}
    export_decoder(vae, folder, ["web"], with_encoder=True, training=training)
    return serve(folder / "web")


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 50), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def axe():
    """The source of axe-core."""
    folder = Path(os.environ.get("KERAS_VAE_NODE", "."))
    path = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not path.is_file():
        pytest.skip(
            "The npm package axe-core is not in the node_modules of the folder that "
            "the variable KERAS_VAE_NODE names: npm install --ignore-scripts axe-core"
        )
    return path.read_text(encoding="utf-8")


def settled(page):
    page.wait_for_selector("figure[aria-busy=false]", timeout=30_000)


def violations(page):
    """Rules that are broken seriously or critically, with where."""
    found = page.evaluate("axe.run()")["violations"]
    return [
        (rule["id"], [node["html"] for node in rule["nodes"]])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious(watch, address, picture, axe, viewport, scheme):
    options = {"viewport": viewport, "color_scheme": scheme, "bypass_csp": True}
    watched = watch(**options, has_touch=viewport is PHONE)
    page = watched.page
    page.goto(f"{address}#seed=42")
    settled(page)
    page.set_input_files("#file", picture)
    page.wait_for_selector("#encoding[aria-busy=false]")
    page.get_by_role("button", name="Show all 24").click()
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_selector("#notice:not(:empty)")
    page.evaluate(axe)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    # ... and it would see it
    page.evaluate("document.querySelector('#from').removeAttribute('aria-label')")
    assert [rule for rule, _ in violations(page)] == ["label"]
    watched.context.close()


def test_everything_is_reached_by_the_keyboard(watch, address, picture):
    watched = watch(viewport=DESKTOP)
    page = watched.page
    page.goto(f"{address}#seed=42")
    settled(page)
    page.set_input_files("#file", picture)
    page.wait_for_selector("#encoding[aria-busy=false]")
    count = page.evaluate(f"{FOCUSABLE}.map((one, k) => (one.dataset.k = k)).length")
    assert count >= 60
    reached = set()
    for _ in range(count + 2):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.k"))
        outlined = page.evaluate(
            "[document.activeElement, document.activeElement.nextElementSibling].some("
            "(one) => one === document.body"  # behind the last
            " || (one && getComputedStyle(one).outlineStyle !== 'none'))"
        )
        assert outlined, page.evaluate("document.activeElement.id")
    assert {str(k) for k in range(count)} <= reached
    watched.check(address)
    watched.context.close()


def test_everything_works_by_the_keyboard(watch, address, picture):
    watched = watch(viewport=DESKTOP)
    page = watched.page
    page.goto(f"{address}#seed=42&label=1")
    settled(page)

    def caption(text):
        page.wait_for_selector(f"#origin:text-is('{text}')")

    page.locator(".sample").nth(2).press("Enter")
    caption("seed 42, image 2")
    page.locator("#sliders input").first.press("ArrowRight")
    caption("seed 42, image 2, moved")
    page.locator("#center").press("Space")
    assert {*page.locator("#sliders output").all_inner_texts()} == {"0.00"}
    page.locator("#pad").press("ArrowUp")
    assert page.locator("#sliders output").nth(1).inner_text() == "0.10"
    second = page.locator("#sliders input").nth(1)
    assert second.get_attribute("aria-valuetext") == "0.10"  # what is read out
    page.locator("[name=label]:checked").press("ArrowRight")
    assert page.is_checked("[name=label][value='2']")
    page.locator("#blend").press("End")
    caption("between seeds 1 and 2, 100 %")
    page.locator("#play").press("Enter")
    page.locator("#play:text-is('Pause')").press("Enter")
    page.locator("#link").press("Enter")
    page.wait_for_selector("#notice:not(:empty)")
    with page.expect_file_chooser() as chooser:
        page.locator("#file").press("Enter")
    chooser.value.set_files(picture)
    caption("your picture")
    page.get_by_role("checkbox", name="Invert").press("Space")
    page.wait_for_selector("#encoding[aria-busy=true]", state="detached")
    assert page.is_checked("#invert")
    page.locator("#more").press("Enter")
    assert page.locator("#sliders input").count() == 24
    focused = page.evaluate("document.activeElement.id")
    assert focused == page.locator("#sliders input").nth(18).get_attribute("id")
    watched.check(address)
    watched.context.close()


def test_everything_works_by_touch(watch, address, picture):
    watched = watch(viewport=PHONE, has_touch=True, is_mobile=True)
    page = watched.page
    page.goto(f"{address}#seed=42")
    settled(page)
    assert page.locator("#sliders input").count() == 8
    small = page.evaluate(
        f"""{FOCUSABLE}.map((one) => [one, one.getBoundingClientRect()])
            .filter(([one, box]) => box.height < 24 || box.width < 24)
            .map(([one]) => one.outerHTML)"""
    )
    labeled = ('id="smooth"', 'id="invert"')  # their labels are larger
    assert [html for html in small if not any(one in html for one in labeled)] == []
    page.locator(".chip").nth(2).tap()
    assert page.is_checked("[name=label][value='2']")
    page.locator("#pad").tap()
    page.wait_for_selector("#origin:text('moved')")
    with page.expect_file_chooser() as chooser:
        page.locator("#file").tap()
    chooser.value.set_files(picture)
    page.wait_for_selector("#origin:text-is('your picture')")
    page.locator("#link").tap()
    page.wait_for_selector("#notice:not(:empty)")
    box = page.locator("#notice").bounding_box()
    assert 0 <= box["y"] and box["y"] + box["height"] <= PHONE["height"]
    watched.check(address)
    watched.context.close()
