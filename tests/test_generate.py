import shlex
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from PIL import Image

from export import export_decoder
from keras_vae.errors import ModelError, UsageError
from keras_vae.generate import ExportedDecoder, generate, main
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp
from tests.readme_tables import ROOT


def exported(folder, num_classes=None, prior="standard_normal", names=None):
    parts = mlp(
        (6, 5, 1),
        3,
        posterior_params=6,
        likelihood_params=1,
        hidden=(8,),
        num_classes=num_classes,
    )
    vae = VAE(*parts, num_classes=num_classes, prior=prior)
    training = {"data": {"class_names": names}}
    export_decoder(vae, folder / "export", ["onnx"], training=training)
    return vae


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, exported(folder)


def test_images_are_those_of_the_model(run):
    folder, vae = run
    images = generate(folder, 9, seed=7)
    assert images.shape == (9, 6, 5, 1) and images.dtype == np.float32
    np.testing.assert_allclose(images, vae.generate(9, seed=7), atol=1e-5)
    np.testing.assert_array_equal(images, generate(folder / "export", 9, seed=7))
    assert np.abs(images - generate(folder, 9, seed=8)).max() > 1e-3


def test_image_k_does_not_depend_on_num_images(run):
    few, many = (generate(run[0], n, seed=3) for n in (5, 1030))
    np.testing.assert_allclose(few, many[:5], atol=1e-6)


def test_a_grid_of_all_classes_has_a_column_for_each(tmp_path):
    run = [str(ROOT / "saved_models/mnist"), "--num-images", "20", "--output"]
    for more, columns in (([], 10), (["--label", "3"], 5)):
        path = tmp_path / f"{columns}.png"
        assert main([*run, str(path), *more]) == 0
        height, width = np.asarray(Image.open(path)).shape
        factor = width // (columns * 30 - 2)
        assert width == factor * (columns * 30 - 2)  # 28 pixels, and lines of 2
        assert height == factor * (20 // columns * 30 - 2)


def test_conditional_images_follow_the_label(tmp_path):
    vae = exported(tmp_path, num_classes=4)
    images = generate(tmp_path, 6, seed=1, label=2)
    np.testing.assert_allclose(images, vae.generate(6, seed=1, label=2), atol=1e-5)
    in_turn = generate(tmp_path, 6, seed=1)
    np.testing.assert_allclose(in_turn[2], images[2], atol=1e-6)
    with pytest.raises(UsageError, match="a class from 0 to 3; got 4"):
        generate(tmp_path, 1, label=4)


def test_a_class_is_chosen_by_name(tmp_path):
    vae = exported(tmp_path, 3, names=["1", "2", "a b"])
    decoder = ExportedDecoder(tmp_path)
    assert decoder.class_names == ["1", "2", "a b"]
    for label, name in enumerate(decoder.class_names):
        images = generate(tmp_path, 3, label=name)
        np.testing.assert_allclose(images, vae.generate(3, label=label), atol=1e-5)
    with pytest.raises(UsageError, match="expected one of 1, 2, a b"):
        generate(tmp_path, 1, label="c")


def test_the_next_command_takes_the_same_class(tmp_path, capsys):
    exported(tmp_path, 3, names=["1", "2", "a b"])
    output = tmp_path / "grid.png"
    assert main([str(tmp_path), "--label", "a b", "--output", str(output)]) == 0
    _, following = capsys.readouterr().out.splitlines()
    assert (
        main(shlex.split(following.removeprefix("  python -m keras_vae.generate"))) == 0
    )


def test_prior_other_than_standard_normal_is_sampled(tmp_path):
    vae = exported(tmp_path, prior="mixture")
    images = generate(tmp_path, 9, seed=5)
    np.testing.assert_allclose(images, vae.generate(9, seed=5), atol=1e-5)
    with pytest.raises(UsageError, match="standard_normal takes a temperature; leave"):
        generate(tmp_path, 1, temperature=0.5)
    (tmp_path / "export" / "generator.onnx").unlink()
    with pytest.raises(ModelError, match="holds no generator.onnx; write it with"):
        generate(tmp_path, 1)


def test_temperature_multiplies_the_noise(run):
    folder, vae = run
    cold = generate(folder, 5, seed=3, temperature=0.5)
    np.testing.assert_allclose(cold, vae.generate(5, 3, temperature=0.5), atol=1e-5)
    z = np.float32(0.5) * vae.latents.draw(3, 5)
    np.testing.assert_allclose(cold, vae.decode(z), atol=1e-5)
    still = generate(folder, 2, temperature=0)
    np.testing.assert_array_equal(still[0], still[1])
    for wrong in (-1, float("nan"), 11):
        with pytest.raises(UsageError, match="temperature must be a number"):
            generate(folder, 2, temperature=wrong)


def test_decoder_that_refers_to_other_files_is_refused(run, tmp_path):
    model = onnx.load(run[0] / "export" / "decoder.onnx")
    onnx.save_model(
        model,
        tmp_path / "decoder.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    with pytest.raises(ModelError, match="refers to other files"):
        generate(tmp_path, 1)


def test_damaged_decoder_is_refused(run, tmp_path):
    bundle = shutil.copytree(run[0] / "export", tmp_path / "export")
    path = bundle / "decoder.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="decoder.onnx is damaged"):
        generate(bundle, 1)
    (bundle / "manifest.json").write_text("{}")
    with pytest.raises(ModelError, match="manifest.json is damaged"):
        generate(bundle, 1)


def test_command_writes_a_grid_without_tensorflow(run, tmp_path):
    code = (
        "import sys; from keras_vae.generate import main\n"
        "status = main(sys.argv[1:])\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'onnx'} & {*sys.modules}\n"
        "sys.exit(str(heavy) if heavy else status)"
    )
    output = tmp_path / "grid.png"
    options = ["--num-images", "12", "--seed", "7", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-c", code, str(run[0]), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and str(output) in done.stdout
    with Image.open(output) as picture:
        assert picture.format == "PNG" and picture.width > 4 * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "16777216"], "The seed must be a whole number in [0, 16777216)"),
        (["--seed", "-1"], "The seed must be"),
        (["--num-images", "0"], "num_images must be at least 1"),
        (["--label", "1"], "takes no label"),
        (["--output", "nowhere/grid.png"], "There is no folder nowhere"),
        (["--output", "."], "must end in .png"),
        (["--output", ""], "--output is empty"),
        (["--output", "grid.jpg"], "must end in .png; got grid.jpg"),
        (["--output", "grid"], "must end in .png; got grid"),
    ],
)
def test_command_line_errors_are_one_line(run, capsys, arguments, message):
    status = main([str(run[0]), *arguments])
    captured = capsys.readouterr().err
    assert status == 2
    assert captured.startswith("keras-vae: error: ") and captured.count("\n") == 1
    assert message in captured


def test_run_without_decoder_is_refused_with_the_command_that_writes_one(tmp_path):
    run = tmp_path / "my run"
    run.mkdir()
    (tmp_path / "vae.keras").touch()
    for folder in (run, tmp_path / "vae.keras"):
        with pytest.raises(ModelError, match="is no run folder: it has no config.json"):
            generate(folder, 1)
    for name in ("config.json", "model.keras"):
        (run / name).touch()
    command = f"`python -m export '{run}' --format onnx`"
    with pytest.raises(ModelError, match=f"holds no decoder.onnx; .*{command}"):
        generate(run, 1)
    (run / "export").mkdir()
    (run / "export" / "decoder.tflite").touch()
    with pytest.raises(ModelError, match=f"holds no decoder.onnx; .*{command}"):
        generate(run, 1)
    with pytest.raises(ModelError, match="There is no run folder .*vae.train --output"):
        generate(tmp_path / "nowhere", 1)


def test_a_bundle_without_onnx_names_its_run(run, tmp_path):
    bundle = shutil.copytree(run[0], tmp_path / "run") / "export"
    (bundle / "decoder.onnx").unlink()
    with pytest.raises(ModelError, match=f"`python -m export {tmp_path}/run --format"):
        generate(bundle, 1)


def test_the_command_ends_with_what_to_type_next(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(run[0], tmp_path / "it's a run").relative_to(tmp_path)
    assert main([str(folder), "--seed", "16777215", "--temperature", "0.5"]) == 0
    said, command = capsys.readouterr().out.splitlines()
    assert said == "64 images of seed 16777215 are in generated.png. Next:"
    words = shlex.split(command)
    assert words == [
        "python",
        "-m",
        "keras_vae.generate",
        *map(str, [folder, "--seed", 0, "--temperature", 0.5]),
    ]
    assert main([*words[3:], "--num-images", "1"]) == 0
    assert "1 image of seed 0 is in generated.png. Next:" in capsys.readouterr().out


def test_the_command_imports_nothing_heavy(run):
    """`--help` and a small picture stay under half a second: what is imported."""
    code = (
        "import sys; from keras_vae.generate import main\n"
        f"main([{str(run[0])!r}, '--output', {str(run[0] / 'x.png')!r}])\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'sklearn', 'scipy', 'onnx'}\n"
        "assert not (found := heavy & {*sys.modules}), found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_run_that_was_cut_is_said_to_be_unfinished(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="no decoder yet. Finish it with .* --resume"):
        generate(tmp_path, 1)


def test_broken_decoder_is_refused(tmp_path):
    (tmp_path / "decoder.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="is not an ONNX file"):
        generate(tmp_path, 1)
