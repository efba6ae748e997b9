"""Every runtime that is installed, against Keras, on what `export_decoder` writes."""

import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from export import export_decoder
from export.decoder import decoder_mean
from export.formats import FORMATS
from export.parity import (
    generator_calls,
    max_error,
    parity_batches,
    passes_noise_on,
)
from export.runtimes import RUNTIMES, load_runtime
from keras_vae.config import TrainConfig
from keras_vae.distributions.flow import Flow
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp
from keras_vae.runs.build import build_vae

EXAMPLES = Path(load_runtime("numpy").__file__).parent


def tiny_mlp():
    """With a learned prior, whose draws are products of matrices, too."""
    parts = mlp((6, 5, 1), 3, posterior_params=6, likelihood_params=1, hidden=(8,))
    vae = VAE(*parts, prior=Flow(3, num_couplings=4, hidden=16))
    generator = np.random.default_rng(0)
    for weight in vae.prior.weights:
        weight.assign(generator.normal(size=weight.shape) / 4)
    return vae


def tiny_conditional_conv():
    """Convolutions of every kind, normalization, several activations, and a label."""
    layers = keras.layers
    encoder, _ = mlp(
        (16, 16, 1),
        3,
        posterior_params=6,
        likelihood_params=1,
        hidden=(8,),
        num_classes=4,
    )
    z, label = keras.Input((3,)), keras.Input((), dtype="int64")
    h = layers.Concatenate()([z, keras.ops.one_hot(label, 4)])
    h = layers.Reshape((2, 2, 4))(layers.Dense(16, "gelu")(h))
    h = layers.Conv2DTranspose(5, 3, strides=2, padding="same", activation="silu")(h)
    h = layers.BatchNormalization()(h)
    h = layers.Conv2DTranspose(3, 4, strides=2, padding="same", activation="elu")(h)
    h = layers.GroupNormalization(1)(layers.UpSampling2D()(h))
    h = layers.Conv2D(1, 3, padding="same")(h)
    return VAE(encoder, keras.Model([z, label], h), num_classes=4)


def tiny_ladder():
    """Three levels of maps, and a prior on top whose draws choose."""
    options = {"network": "ladder", "hidden": (6, 8), "num_levels": 3}
    options |= {"latent_channels": 2, "prior": "mixture", "num_components": 5}
    vae = build_vae(TrainConfig(**options), (10, 9, 1), num_images=10)
    generator = np.random.default_rng(0)
    for weight in vae.decoder.weights:
        weight.assign(weight + generator.normal(size=weight.shape) / 8)
    return vae


@pytest.fixture(scope="module", params=[tiny_mlp, tiny_conditional_conv, tiny_ladder])
def exported(request, tmp_path_factory):
    keras.utils.set_random_seed(0)
    vae, folder = request.param(), tmp_path_factory.mktemp("run") / "export"
    for name in FORMATS:
        try:
            export_decoder(vae, folder, [name])
        except ImportError:  # its runtime is not installed, and its tests are skipped
            continue
    return vae, folder


def runtime_or_skip(name, folder):
    if not (folder / RUNTIMES[name].decoder).exists():
        pytest.skip(f"{RUNTIMES[name].decoder} is not exported: its package is missing")
    try:
        return load_runtime(name)
    except ImportError as error:
        pytest.skip(f"{name} is not installed: {error}")


@pytest.mark.parametrize("name", RUNTIMES)
def test_decode_matches_keras(exported, name):
    vae, folder = exported
    decode = runtime_or_skip(name, folder).load_decoder(folder / RUNTIMES[name].decoder)
    model = decoder_mean(vae)
    batches = [*parity_batches(vae)]
    if name == "onnx":  # slow at convolutions
        batches = [inputs for inputs in batches if len(inputs[0]) < 64]
    for inputs in batches:
        expected = model(list(inputs) if len(inputs) > 1 else inputs[0]).numpy()
        assert max_error(decode(*inputs), expected) <= 1e-5


@pytest.mark.parametrize(
    "name", [name for name, row in RUNTIMES.items() if row.generator]
)
def test_generate_gives_the_same_latents(exported, name):
    vae, folder = exported
    generate = runtime_or_skip(name, folder).load_generator(
        folder / RUNTIMES[name].generator
    )
    for seed, num_images, *label in generator_calls(vae):
        images, z = generate(seed, num_images, *label)
        error = max_error(z, vae.latents.draw(seed, num_images))
        assert error <= (0.0 if passes_noise_on(vae) else 1e-5)
        expected = vae.generate(num_images, seed, *label)
        assert max_error(images, expected) <= 1e-5


def test_keras_file_loads_without_this_package(exported):
    _, folder = exported
    if not (folder / "decoder.keras").exists():
        pytest.skip("not exported")
    model = keras.saving.load_model(folder / "decoder.keras", custom_objects={})
    modules = {type(layer).__module__ for layer in model.layers}
    assert not any(module.startswith("keras_vae") for module in modules)


@pytest.mark.parametrize("compiler", ["gcc -std=c99", "g++ -std=c++17"])
def test_c_program_writes_an_image(exported, tmp_path, compiler):
    vae, folder = exported
    if not (folder / "c").exists():
        pytest.skip("not exported")
    sources = [EXAMPLES / "c" / "main.c", folder / "c/decoder.c", folder / "c/draw.c"]
    program = tmp_path / "generate"
    flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", folder / "c"]
    command = [*compiler.split(), *flags, *sources, "-lm", "-o", program]
    subprocess.run(command, check=True)
    done = subprocess.run([program, "7", "2", "1"], capture_output=True, check=True)
    header, pixels = done.stdout.split(b"255\n", 1)
    height, width, _ = vae.image_shape
    assert header.split() == [b"P5", b"%d" % width, b"%d" % height]
    label = [] if vae.num_classes is None else [1]
    image = vae.generate(3, 7, *label)[2].ravel()
    got = np.frombuffer(pixels, np.uint8)
    assert np.abs(got - image * 255).max() <= 0.5 + 255e-5
    for arguments in (["16777216"], ["-1"], ["x"], ["1", "16777216"]):
        done = subprocess.run([program, *arguments], capture_output=True, check=False)
        assert done.returncode == 2 and done.stdout == b""
        assert b"must be in [0, 16777216), got" in done.stderr


@pytest.mark.parametrize("channels", [2, 4])
def test_c_program_writes_what_a_pixmap_holds(tmp_path, channels):
    """Grey, or red, green and blue."""
    keras.utils.set_random_seed(0)
    sizes = {"posterior_params": 6, "likelihood_params": 1, "hidden": (8,)}
    vae = VAE(*mlp((4, 3, channels), 3, **sizes))
    try:
        export_decoder(vae, tmp_path, ["c"])
    except ImportError as error:
        pytest.skip(str(error))
    sources = [EXAMPLES / "c" / "main.c", *(tmp_path / "c").glob("*.c")]
    command = ["gcc", "-I", tmp_path / "c", *sources, "-lm", "-o", tmp_path / "a"]
    subprocess.run(command, check=True)
    done = subprocess.run([tmp_path / "a", "7"], capture_output=True, check=True)
    header, pixels = done.stdout.split(b"255\n", 1)
    written = 1 if channels == 2 else 3
    assert header.split()[0] == (b"P5" if channels == 2 else b"P6")
    expected = 255 * vae.generate(1, 7)[0, ..., :written].ravel()
    got = np.frombuffer(pixels, np.uint8)
    assert np.abs(got - expected).max() <= 0.5 + 255e-5


def test_copied_numpy_runner_generates_with_numpy_alone(exported, tmp_path):
    vae, folder = exported
    script = shutil.copy(EXAMPLES / "numpy_only.py", tmp_path)
    blocked = (
        "import runpy, sys\n"
        "for name in ('keras_vae', 'export', 'tensorflow', 'onnx', 'onnxruntime'):\n"
        "    sys.modules[name] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    label = [] if vae.num_classes is None else [1]
    options = ["--num-images", "5", "--seed", "9", *(f"--label={x}" for x in label)]
    output = tmp_path / "images.npy"
    command = [sys.executable, "-c", blocked, script, str(folder), str(output)]
    subprocess.run([*command, *options], check=True, cwd=tmp_path)
    expected = vae.generate(5, 9, *label)
    assert max_error(np.load(output), expected) <= 1e-5


def test_signals_arrive_after_openvino(exported):
    """Of two `Core`s the last that went left them a stack that was unmapped."""
    pytest.importorskip("openvino")
    _, folder = exported
    program = (
        "import os, signal\n"
        "from export.runtimes.python_openvino import load_decoder, load_generator\n"
        "first = load_decoder('openvino/decoder.xml')\n"
        "second = load_generator('openvino/generator.xml')\n"
        "del first, second\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('taken'))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "taken\n"), done.stderr
