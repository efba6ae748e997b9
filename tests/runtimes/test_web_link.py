"""Links to the page: they hold seed, sliders and class, and are checked as data."""

import base64

import keras
import numpy as np
import pytest

from export import export_decoder
from export.to_web import find_runtime
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp

DESKTOP = {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def address(tmp_path_factory, serve):
    """The page of a conditional model of 40 latents."""
    try:
        find_runtime()
    except ImportError as error:
        pytest.skip(str(error))
    keras.utils.set_random_seed(0)
    shape = {"posterior_params": 80, "likelihood_params": 1, "hidden": (8,)}
    vae = VAE(*mlp((6, 5, 1), 40, num_classes=3, **shape), num_classes=3)
    folder = tmp_path_factory.mktemp("run") / "export"
    export_decoder(vae, folder, ["web"])
    return serve(folder / "web")


@pytest.fixture(scope="module")
def shared(watch):
    watched = watch(viewport=DESKTOP)
    permissions = ["clipboard-read", "clipboard-write"]
    watched.context.grant_permissions(permissions)
    yield watched
    watched.context.close()


@pytest.fixture
def page(shared):
    shared.page.goto("about:blank")  # the next address is loaded, not only followed
    return shared.page


def settled(page):
    page.wait_for_selector("figure[aria-busy=false]", timeout=30_000)


def values(page):
    sliders = page.locator("#sliders input")
    return dict(
        zip(
            sliders.evaluate_all("all => all.map((one) => one.id)"),
            sliders.evaluate_all("all => all.map((one) => one.value)"),
            strict=True,
        )
    )


def pixels(page):
    return page.eval_on_selector("#image", "canvas => canvas.toDataURL()")


def z_of(values):
    data = base64.urlsafe_b64encode(np.asarray(values, "<f4").tobytes())
    return data.decode().rstrip("=")


def test_copied_link_restores_seed_sliders_and_class(page, address):
    page.goto(f"{address}#seed=7&image=3&label=2")
    settled(page)
    slider = page.locator("#sliders input").nth(4)
    slider.press("ArrowRight")
    page.locator("#sliders input").nth(9).fill("-3.25")
    settled(page)
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_selector("#notice:text-is('The link is copied.')")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url and "seed=7&image=3&label=2&z=" in link
    before, image = values(page), pixels(page)
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector("#origin:text-is('the link')")
    settled(page)
    assert values(page) == before and pixels(page) == image
    assert page.input_value("#seed") == "7"
    assert page.is_checked("[name=label][value='2']")
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_selector("#notice:text-is('The link is copied.')")
    assert page.url == link  # to the last bit


def test_link_of_a_sample_is_its_seed(page, address):
    page.goto(f"{address}#seed=7&image=3&label=2")
    settled(page)
    page.get_by_role("button", name="Copy link").click()
    assert page.url == f"{address}#seed=7&image=3&label=2"


def test_latents_of_a_link_are_little_endian_float32(page, address):
    z = np.zeros(40)
    z[[0, 39]] = 1.5, -2
    page.goto(f"{address}#z={z_of(z)}")
    page.wait_for_selector("#origin:text-is('the link')")
    page.get_by_role("button", name="Show all 40").click()
    shown = {name: float(value) for name, value in values(page).items()}
    assert shown == {f"z{d}": z[d] for d in range(40)}
    assert page.text_content("#notice") == ""


@pytest.mark.parametrize(
    ("hash_", "ignored"),
    [
        ("seed=-1", "seed"),
        ("seed=16777216", "seed"),
        ("seed=1e3", "seed"),
        ("seed=%3Cimg src=x onerror=alert(1)%3E", "seed"),
        ("image=24", "image"),
        ("label=3&image=-2", "image, label"),
        ("label=constructor", "label"),
        ("z=AAAA", "z"),
        ("z=%3Cscript%3E", "z"),
        ("z=" + "=" * 214, "z"),
        ("z=" + z_of(np.zeros(41)), "z"),
        ("z=" + z_of([np.nan] * 40), "z"),
        ("z=" + z_of([np.inf] * 40), "z"),
        ("z=" + z_of([1e7] * 40), "z"),
    ],
)
def test_bad_values_of_a_link_are_ignored_with_a_line(page, address, hash_, ignored):
    page.goto(f"{address}#{hash_}")
    settled(page)
    line = f"Ignored in the link, for it fits no value here: {ignored}."
    assert page.text_content("#notice") == line
    assert page.inner_text("#origin") == "seed 0, image 0"
    assert page.is_checked("[name=label][value='0']")
    assert page.locator("main img, main script, #notice *").count() == 0


def test_unknown_names_in_a_link_say_nothing(page, address):
    page.goto(f"{address}#seed=1&utm_source=x&__proto__=1")
    settled(page)
    assert page.text_content("#notice") == ""
    assert page.inner_text("#origin") == "seed 1, image 0"


def test_without_a_clipboard_the_link_stands_in_the_address_bar(watch, address):
    watched = watch(viewport=DESKTOP)
    missing = "Object.defineProperty(navigator, 'clipboard', { value: undefined })"
    watched.context.add_init_script(missing)
    watched.page.goto(f"{address}#seed=5")
    settled(watched.page)
    watched.page.get_by_role("button", name="Copy link").click()
    watched.page.wait_for_selector("#notice:text('in the address bar')")
    assert "seed=5" in watched.page.url
    watched.check(address)
    watched.context.close()


def test_nothing_went_wrong(shared, address):
    shared.check(address)
