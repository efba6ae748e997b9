"""The page of the `web` format shows what a stranger's manifest says as text."""

import json
import shutil

import keras
import pytest

from export import export_decoder
from export.to_web import find_runtime
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp

NAMES = [
    "<img src=x onerror=\"document.title='broken'\"><script>alert(1)</script>",
    "\"'`}{${1}</span></label>&amp;\\",
    "\u202e\u05d0\u05d1\u05d2 right to left",
    "x" * 10_000,
    "a\0b\u2028\n\t",
]
HOSTILE = "<img src=x onerror=\"document.title='broken'\"> right and left, and up"


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    try:
        find_runtime()
    except ImportError as error:
        pytest.skip(str(error))
    keras.utils.set_random_seed(0)
    shape = {"posterior_params": 6, "likelihood_params": 1, "hidden": (8,)}
    vae = VAE(*mlp((6, 5, 1), 3, num_classes=5, **shape), num_classes=5)
    folder = tmp_path_factory.mktemp("run") / "export"
    moved = {"disentanglement": {"latent_names": [HOSTILE, None, "x"]}}
    training = {"data": {"class_names": NAMES}, "metrics": moved}
    export_decoder(vae, folder, ["web"], training=training)
    return folder / "web"


def test_class_names_are_text(web, watch, serve):
    address = serve(web)
    watched = watch(viewport={"width": 1280, "height": 800})
    page = watched.page
    page.goto(address)
    page.wait_for_selector("figure[aria-busy=false]", timeout=30_000)
    assert page.locator(".chip span").all_text_contents() == NAMES
    assert page.title() == "Latent explorer"
    assert page.locator(".chip span *, #labels script, #labels img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert page.locator(".chip").nth(3).bounding_box()["width"] < 250
    for k in range(5):
        page.locator(".chip input").nth(k).click()
    watched.check(address)
    watched.context.close()


def test_sliders_have_the_names_of_the_factors_that_they_move(web, watch, serve):
    address = serve(web)
    watched = watch(viewport={"width": 1280, "height": 800})
    page = watched.page
    page.goto(address)
    page.wait_for_selector("figure[aria-busy=false]", timeout=30_000)
    names = {"z0": f"{HOSTILE} z0", "z1": "z1", "z2": "x z2"}
    for latent, name in names.items():
        assert page.locator(f"label[for={latent}]").text_content() == name
        slider = page.get_by_role("slider", name=name, exact=True)
        assert slider.get_attribute("id") == latent
        for axis in ("across", "up"):
            option = page.locator(f"#{axis} option[value='{latent[1:]}']")
            assert option.text_content() == name
    assert page.locator(".latent img, .latent script, option *").count() == 0
    assert page.title() == "Latent explorer"
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    boxes = [page.locator(f"#{latent}").bounding_box() for latent in names]
    assert len({(box["x"], box["width"]) for box in boxes}) == 1  # in one column
    assert "A name is the factor" in page.inner_text(".latents .hint")
    watched.check(address)
    watched.context.close()


@pytest.mark.parametrize(
    "change",
    [
        {"latent_dim": "3"},
        {"latent_dim": 10**9},
        {"image_shape": [6, 5]},
        {"num_classes": -1},
        {"class_names": ["a"]},
        {"class_names": [{}] * 5},
        {"class_names": "<b>"},
        {"latent_names": ["a"]},
        {"latent_names": ["a", "b", 3]},
        {"latent_names": ["a", "b", "c" * 256]},
        {"latent_names": "abc"},
        {"prior": None},
        {"encoder": 3},
        {"encoder": {"posterior": {}}},
        {"score": {"kl_divergence": None}},
        {"score": None},
        {"importance": [1, 2]},
        {"range": [[4, -4]] * 3},
        [],
    ],
)
def test_manifest_of_something_else_is_refused_in_one_sentence(
    web, watch, serve, tmp_path, change
):
    copy = shutil.copytree(web, tmp_path / "web")
    facts = json.loads((web / "manifest.json").read_text())
    facts = facts | change if change else change
    (copy / "manifest.json").write_text(json.dumps(facts))
    watched = watch()
    watched.page.goto(serve(copy))
    watched.page.wait_for_selector("#status.error")
    status = watched.page.inner_text("#status")
    assert status == "The model does not run: manifest.json is not one of this page"
    assert watched.page.is_hidden("main")
    watched.context.close()
