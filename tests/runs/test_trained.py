import json

import numpy as np
import pytest

from keras_vae.errors import DataError, DivergedError, ModelError, UsageError
from keras_vae.runs.trained import TrainedRun, load_run


@pytest.fixture(scope="module")
def trained(untrained, tmp_path_factory):
    return TrainedRun(untrained(tmp_path_factory.mktemp("four")))


def test_relevance_is_the_mean_kl_divergence(trained):
    mean, log_var = np.split(trained.vae.encoder(trained.images / 255.0), 2, axis=1)
    kl = 0.5 * (mean**2 + np.exp(log_var) - log_var - 1)
    values, unit = trained.relevance
    np.testing.assert_allclose(values, kl.mean(axis=0), rtol=1e-4)
    assert unit == "nats"


def test_options_that_are_left_open_are_those_of_the_images(untrained, tmp_path):
    folder = untrained(tmp_path, latent_dim=20)
    config = json.loads((folder / "config.json").read_text()) | {"latent_dim": None}
    (folder / "config.json").write_text(json.dumps(config))
    vae, found = load_run(folder)
    assert vae.latent_dim == 20 and found.latent_dim == (20,)


def test_relevance_without_the_images_is_what_evaluate_found(untrained, tmp_path):
    folder = untrained(tmp_path)
    text = (folder / "config.json").read_text().replace("rows.npz", "gone.npz")
    (folder / "config.json").write_text(text)
    (folder / "metrics.json").write_text('{"latent_variances": [0.1, 2, 3]}')
    with pytest.raises(DataError, match="not at hand"):  # not one for each latent
        _ = TrainedRun(folder).relevance
    known = [0.1, 0.4, 0.2, 0.3]
    (folder / "metrics.json").write_text(json.dumps({"latent_variances": known}))
    values, unit = TrainedRun(folder).relevance
    assert (values.tolist(), unit) == (known, "variance")


def test_images_that_were_moved_are_named(untrained, rows, tmp_path):
    folder = untrained(tmp_path)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace(str(rows), "emoji"))
    with pytest.raises(DataError, match="say with --dataset where it is now"):
        _ = TrainedRun(folder).source
    (folder / "config.json").write_text(text.replace("rows.npz", "gone.npz"))
    with pytest.raises(DataError, match="not at hand; say with --dataset where it is"):
        _ = TrainedRun(folder).source
    trained = TrainedRun(folder, str(rows))
    assert len(trained.images) == len(trained.mean)


def test_a_class_is_chosen_without_the_images(untrained, tmp_path):
    folder = untrained(tmp_path, conditional=True)
    text = (folder / "config.json").read_text().replace("rows.npz", "gone.npz")
    (folder / "config.json").write_text(text)
    trained = TrainedRun(folder)
    assert [trained.check_label(each) for each in (2, "2", "bottom")] == [2, 2, 2]
    with pytest.raises(UsageError, match="from 0 to 2 or its name; got 3"):
        trained.check_label(3)
    with pytest.raises(UsageError, match="one of top, middle, bottom"):
        trained.check_label(None)


def test_dynamic_binarization_shows_what_the_model_sees(untrained, tmp_path):
    trained = TrainedRun(untrained(tmp_path, binarization="dynamic"))
    assert set(np.unique(trained.images)) == {0, 255}


def test_other_data_than_that_of_the_run_is_refused(untrained, rows, tmp_path):
    folder = untrained(tmp_path)
    other = tmp_path / "other.npz"
    other.write_bytes(rows.read_bytes())
    text = (folder / "config.json").read_text().replace("rows.npz", "other.npz")
    text = text.replace(str(rows.parent), str(tmp_path))
    (folder / "config.json").write_text(text)
    with pytest.raises(DataError, match="was trained on rows, not on other; say with"):
        _ = TrainedRun(folder).images
    trained = TrainedRun(folder, str(other.rename(tmp_path / "moved.npz")))
    assert len(trained.images) == 20  # whoever names a file says that it is the one


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(untrained, tmp_path, value):
    folder = untrained(tmp_path)
    vae, _ = load_run(folder)
    vae.trainable_weights[0].assign_add(np.full((30, 8), value))
    vae.save(folder / "model.keras")
    with pytest.raises(ModelError, match="model.keras holds weights that are NaN or"):
        load_run(folder)


def test_latents_that_are_no_numbers_are_an_error(untrained, tmp_path):
    trained = TrainedRun(untrained(tmp_path))
    kernel = trained.vae.encoder.layers[-1].kernel
    kernel.assign(np.full(kernel.shape, 3e38))
    with pytest.raises(DivergedError, match="A latent of the test images is"):
        _ = trained.mean


def test_other_images_than_those_of_the_run_are_refused(untrained, rows, tmp_path):
    folder = untrained(tmp_path)
    fewer = tmp_path / "fewer" / "rows.npz"
    fewer.parent.mkdir()
    arrays = dict(np.load(rows))
    np.savez(fewer, images=arrays["x_train"][:50], labels=arrays["y_train"][:50])
    text = (folder / "config.json").read_text().replace(str(rows), str(fewer))
    (folder / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"trained on 54 images \(6, 5, 1\), but.*41"):
        _ = TrainedRun(folder).images
