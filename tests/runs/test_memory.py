import pytest

from keras_vae.config import TrainConfig
from keras_vae.defaults import chosen
from keras_vae.errors import UsageError
from keras_vae.runs.memory import check_memory, training_bytes

DATA = ((28, 28, 1), 60_000)


def test_the_textbook_training_needs_its_weights_and_one_step():
    needed = training_bytes(
        784,
        hidden=(400,),
        latent_dim=20,
        prior_dim=20,
        num_components=0,
        num_mixtures=1,
        batch_size=128,
        num_samples=1,
        fused_steps=3,
    )
    matrices = 784 * 400 + 400 * 40 + 20 * 400 + 400 * 784
    step = 128 * (784 + 400 + 40 + 20 + 400 + 784)
    assert needed == 4 * (4 * matrices + step) + 3 * 128 * 784


def test_the_prior_of_several_levels_is_that_of_the_top(monkeypatch):
    options = {"network": "ladder", "prior": "mixture", "num_components": 20_000}
    monkeypatch.setattr("keras_vae.runs.memory.machine_bytes", lambda: 2e9)
    data = ((32, 32, 3), 1000)  # 64 latents on top, 1408 in all
    check_memory(chosen(TrainConfig(**options, batch_size=8), *data), *data)


@pytest.mark.parametrize(
    ("options", "lower"),
    [
        ({"hidden": (1_000_000, 1_000_000)}, "hidden"),
        ({"batch_size": 1_000_000, "num_samples": 10}, "batch-size"),
        ({"num_samples": 10_000}, "num-samples"),
        ({"fused_steps": 100_000}, "fused-steps"),
        ({"prior": "mixture", "num_components": 100_000}, "num-components"),
        (
            {"likelihood": "discretized_logistic_mixture", "num_mixtures": 1000},
            "num-mixtures",
        ),
    ],
)
def test_what_does_not_fit_names_the_option_to_lower(options, lower, monkeypatch):
    monkeypatch.setattr("keras_vae.runs.memory.machine_bytes", lambda: 1e9)
    check_memory(chosen(TrainConfig(), *DATA), *DATA)
    with pytest.raises(UsageError, match=f"at least .* GB .* 1 GB; lower --{lower}"):
        check_memory(chosen(TrainConfig(**options), *DATA), *DATA)
