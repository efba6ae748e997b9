"""`--config RUN`: a run once more, to the same bits, or on other images not at all."""

import hashlib

import numpy as np

from keras_vae.runs.trained import load_run
from keras_vae.train import main

OPTIONS = (
    "--recipe classic --dataset digits --validation-images 100 --hidden 12 "
    "--latent-dim 3 --batch-size 500 --epochs 2 --seed 4 --export none"
).split()


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_run_is_repeated_bit_for_bit(tmp_path, capsys):
    first, again = tmp_path / "first", tmp_path / "again"
    assert main([*OPTIONS, "--output", str(first)]) == 0
    printed = capsys.readouterr().out
    assert "The recipe classic: --binarization dynamic --validation-images" in printed
    assert main(["--config", str(first), "--output", str(again)]) == 0
    assert "Chosen" not in capsys.readouterr().out  # config.json leaves nothing open
    (vae, config), (other, repeated) = load_run(first), load_run(again)
    for a, b in zip(vae.get_weights(), other.get_weights(), strict=True):
        assert np.array_equal(a, b)
    for name in ("metrics.json", "samples/epoch-0002-generated.png"):
        assert digest(first / name) == digest(again / name)
    assert vars(config) | {"output": again} == vars(repeated)


def test_other_images_than_the_runs_are_refused(tmp_path, untrained, capsys):
    run, again = untrained(tmp_path), tmp_path / "again"
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(
        text.replace('"num_images": 54', '"num_images": 53')
    )
    assert main(["--config", str(run), "--output", str(again)]) == 4
    assert capsys.readouterr().err == (
        "keras-vae: error: The run to repeat is trained on data whose num_images is "
        "53, not 54; make its images available again.\n"
    )
    assert not again.exists()
