import numpy as np
import pytest

from keras_vae.data.splits import ArraySplit
from keras_vae.errors import DataError, DivergedError, UsageError
from keras_vae.metrics import sample_quality as module
from keras_vae.metrics.distances import frechet_distance
from keras_vae.metrics.features import shipped_extractor
from keras_vae.metrics.sample_quality import compared, sample_quality, table

SHAPE = (12, 12, 1)


@pytest.fixture(scope="module")
def splits(images):
    labels = np.arange(40) % 2
    return (
        ArraySplit(images(40, SHAPE), labels),
        ArraySplit(images(30, SHAPE, seed=1), labels[:30]),
    )


@pytest.fixture(scope="module")
def extractor():
    return shipped_extractor(1)


def test_report_compares_what_it_says(small_vae, splits, extractor):
    vae, (train, test) = small_vae(SHAPE), splits
    report = sample_quality(vae, train, test, extractor, num_draws=50, seed=3)
    reference = extractor(test.images)
    draws = extractor(vae.generate(50, seed=3))
    assert report["samples"] == compared(draws, reference)
    # fewer training images than draws: all of them
    assert report["training_images"] == compared(extractor(train.images), reference)
    reconstructed = extractor(vae.reconstruct(train.images))
    assert report["reconstructions"] == compared(reconstructed, reference)
    assert report["samples"]["num_images"] == 50
    assert report["reconstructions"]["num_images"] == 40
    named = {name: report[name] for name in ("extractor", "sha256", "num_features")}
    assert named == {
        "extractor": extractor.name,
        "sha256": extractor.sha256,
        "num_features": 64,
    }
    assert (report["num_images"], report["seed"]) == (30, 3)


def test_another_model_is_compared_beside(small_vae, splits, extractor):
    one, other = small_vae(SHAPE, seed=1), small_vae(SHAPE, seed=2)
    report = sample_quality(one, *splits, extractor, before=other, num_draws=20)
    alone = sample_quality(other, *splits, extractor, num_draws=20)
    assert report["samples_before"] == alone["samples"] != report["samples"]
    assert table(report).splitlines()[2].startswith("samples before ")


def test_pieces_change_nothing(small_vae, splits, extractor, monkeypatch):
    """Nor is a binarized image another one in a later piece."""
    vae = small_vae(SHAPE, num_classes=2, binarization="dynamic")
    whole = sample_quality(vae, *splits, extractor, num_draws=20)
    monkeypatch.setattr(module, "PIECE", 7)
    parts = sample_quality(vae, *splits, extractor, num_draws=20)
    for name in ("samples", "reconstructions", "training_images"):
        for number, value in whole[name].items():
            # float32 products of other shapes round differently
            assert parts[name][number] == pytest.approx(value, rel=1e-3, abs=1e-4)


def test_a_conditional_model_draws_its_classes_in_turn(small_vae, splits, extractor):
    vae = small_vae(SHAPE, num_classes=2)
    report = sample_quality(vae, *splits, extractor, num_draws=10, num_images=12)
    draws = vae.generate(10, label=np.arange(10) % 2)
    reference = extractor(splits[1].images[:12])
    expected = frechet_distance(extractor(draws), reference)
    np.testing.assert_allclose(report["samples"]["frechet_distance"], expected)
    assert report["num_images"] == 12


def test_training_images_keep_the_share_of_each_class(images, small_vae, extractor):
    shown = []
    pixels = np.repeat(np.array([0, 255], np.uint8), [30, 10])
    train = ArraySplit(
        np.full((40, *SHAPE), pixels[:, None, None, None]), pixels // 255
    )
    test = ArraySplit(images(10, SHAPE))

    class Watched:
        def __getattr__(self, name):
            return getattr(extractor, name)

        def of(self, batches, total, what, progress):
            found = list(batches)
            if what == "training images":
                shown.extend(found)
            return extractor.of(found, total, what, progress)

    sample_quality(small_vae(SHAPE), train, test, Watched(), num_draws=20)  # pyright: ignore
    assert [image.max() for image in np.concatenate(shown)].count(255) == 5


def test_no_number_is_shown_without_its_extractor(small_vae, splits, extractor):
    report = sample_quality(small_vae(SHAPE), *splits, extractor, num_draws=10)
    lines = table(report).splitlines()
    assert extractor.name in lines[0] and extractor.sha256 in lines[0]
    assert "30 test images" in lines[0]
    assert [line[:15].strip() for line in lines[2:5]] == [
        "samples",
        "reconstructions",
        "training images",
    ]
    assert "less is better" in lines[5]
    assert f"{report['samples']['precision']:.3f}" in lines[2]


def test_what_cannot_be_compared_is_told_in_a_sentence(small_vae, splits, extractor):
    vae, (train, test) = small_vae(SHAPE), splits
    with pytest.raises(UsageError, match="num_draws must be a whole number >= 6"):
        sample_quality(vae, train, test, extractor, num_draws=5)
    few = test.take(slice(5))
    with pytest.raises(DataError, match="6 or more test and training .* got 5 and 40"):
        sample_quality(vae, train, few, extractor, num_draws=10)
    with pytest.raises(DataError, match="6 or more test and training .* got 30 and 5"):
        sample_quality(vae, few, test, extractor, num_draws=10)
    with pytest.raises(UsageError, match="seed"):
        sample_quality(vae, train, test, extractor, num_draws=10, seed=2**24)


def test_a_model_that_has_diverged_gets_no_numbers(small_vae, splits, extractor):
    vae = small_vae(SHAPE)
    weights = vae.decoder.get_weights()
    vae.decoder.set_weights([np.full_like(weight, np.nan) for weight in weights])
    with pytest.raises(DivergedError, match="A pixel of a generated image is nan"):
        sample_quality(vae, *splits, extractor, num_draws=10)
