import keras
import numpy as np
import pytest
import tensorflow as tf

from export import export_decoder
from keras_vae.config import TrainConfig
from keras_vae.defaults import chosen
from keras_vae.errors import UsageError
from keras_vae.networks.ladder import ladder
from keras_vae.networks.shapes import halvings_of_levels, ladder_widths
from keras_vae.networks.top_down import TopDown
from keras_vae.runs.build import build_vae
from keras_vae.testing import check_latents


def small(**options):
    config = {"network": "ladder", "hidden": (4, 8), "num_levels": 3} | options
    return build_vae(TrainConfig(**config), (12, 9, 1), num_classes=3, num_images=40)


@pytest.mark.parametrize(
    ("image_shape", "hidden", "num_levels", "expected"),
    [
        ((32, 32, 3), (16, 32, 64), 2, [3, 2]),
        ((32, 32, 3), (16, 32, 64), 4, [3, 3, 2, 1]),
        ((64, 64, 3), (16, 32, 64, 128), 4, [4, 4, 3, 2]),  # none of 32x32
        ((28, 28, 1), (64,), 3, [1, 1, 1]),
        ((128, 128, 1), (8,), 2, [1, 1]),  # larger ones where there are no others
    ],
)
def test_levels_are_spread_over_the_maps(image_shape, hidden, num_levels, expected):
    assert halvings_of_levels(image_shape, hidden, num_levels) == expected


@pytest.mark.parametrize("image_shape", [(28, 28, 1), (33, 9, 3), (64, 64, 3)])
@pytest.mark.parametrize("num_classes", [None, 4])
def test_ladders_take_any_size(image_shape, num_classes):
    networks = ladder(
        image_shape, None, likelihood_params=2, num_levels=3, num_classes=num_classes
    )
    label = [] if num_classes is None else [np.array([0, 3])]
    inputs = [np.zeros((2, *image_shape), "f"), *label]
    params = networks.encoder(inputs if label else inputs[0])
    z = [np.zeros((2, networks.decoder.inputs[0].shape[1]), "f"), *label]
    output = networks.decoder(z if label else z[0])
    height, width, channels = image_shape
    assert output.shape == (2, height, width, 2 * channels)
    features = [network.inputs[1].shape[1] for network in networks.posteriors]
    top = TopDown.of(networks.decoder).merges[0].inputs[0].shape[1]
    assert params.shape == (2, 2 * top + sum(features))


def test_the_same_seed_gives_the_same_weights():
    one, two, other = (small(seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_ladders_keep_the_contract_and_every_weight_learns():
    tiny = {"network": "ladder", "num_levels": 2, "latent_channels": 1, "hidden": (4,)}
    tiny = build_vae(TrainConfig(**tiny), (4, 4, 1), num_images=40)
    check_latents(tiny.latents, tiny._top_down)
    vae = small()
    x = tf.random.stateless_uniform((4, 12, 9, 1), (1, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(vae.terms(x).elbo)
    for gradient in tape.gradient(loss, vae.trainable_weights):
        assert gradient is not None and np.isfinite(gradient).all()


def test_the_prior_of_each_level_sees_all_levels_above():
    vae = small()
    z = np.zeros((1, vae.latent_dim), np.float32)
    changed = z.copy()
    changed[0, 0] = 3.0  # of the top level
    states = []
    for noise in (z, changed):
        parts = np.split(noise, np.cumsum(vae.posterior.widths)[:-1], axis=1)
        seen = []

        def draw(level, state, parts=parts, seen=seen):
            seen.append(state)
            return tf.constant(parts[level])

        TopDown.of(vae.decoder).run(draw)
        states.append(seen[1:])
    for one, other in zip(*states, strict=True):
        assert np.abs(one - other).max() > 1e-3


def test_a_conditional_ladder_trains_saves_and_exports(tmp_path):
    vae = small(conditional=True, prior="mixture", num_components=5)
    vae.compile("adam", steps_per_execution=2, jit_compile=False)
    x = np.random.default_rng(0).integers(0, 256, (16, 12, 9, 1), np.uint8)
    label = np.arange(16) % 3
    vae.fit(x, label, batch_size=8, epochs=2, verbose=0)
    vae.save(tmp_path / "vae.keras")
    again = keras.saving.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(vae.encode(x, label), again.encode(x, label))
    errors = export_decoder(vae, tmp_path / "export", ["onnx"])
    assert max(errors.values()) <= 1e-5
    assert np.abs(vae.generate(1, label=0) - vae.generate(1, label=1)).max() > 1e-3


def test_its_latent_dim_is_told():
    config = chosen(TrainConfig(network="ladder"), (32, 32, 3), 1000)
    assert config.latent_dim == ladder_widths((32, 32, 3), (16, 32, 64), 4, 4)
    assert config.latent_dim == (64, 64, 256, 1024)
    with pytest.raises(UsageError, match=r"this ladder is \(36, 36, 120\); got \(5, 4"):
        small(latent_dim=(5, 4, 3))
    with pytest.raises(UsageError, match="num_levels must be a whole number >= 2"):
        small(num_levels=1)
    with pytest.raises(UsageError, match="at most 4,096 will do. Lower --num-levels"):
        chosen(TrainConfig(network="ladder", num_levels=16), (32, 32, 3), 1000)
    with pytest.raises(UsageError, match="Several levels have the posterior diagonal"):
        small(posterior="iaf")
