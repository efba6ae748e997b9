"""The seam for latents of several levels, proven by a second member: two levels."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy import stats

from export import export_decoder
from keras_vae.distributions.latents import Inference, Latents, OneLevel
from keras_vae.distributions.normal import normal_log_prob
from keras_vae.distributions.posteriors import DiagonalGaussian, Posterior
from keras_vae.distributions.priors import Prior, StandardNormal
from keras_vae.distributions.sampling import bound_log_var
from keras_vae.errors import UsageError
from keras_vae.model import VAE
from keras_vae.networks.mlp import mlp
from keras_vae.testing import check_latents
from keras_vae.training.checkpoints import Checkpoint


def dense(inputs, outputs, seed):
    """Two layers, as a network that is built."""
    start = [keras.initializers.GlorotUniform(seed=seed + k) for k in range(2)]
    hidden = keras.layers.Dense(8, "relu", kernel_initializer=start[0])
    last = keras.layers.Dense(outputs, kernel_initializer=start[1])
    return keras.Sequential([keras.Input((inputs,)), hidden, last])


@keras.saving.register_keras_serializable(package="tests")
class TopDown(Posterior):
    """q(z2|x) q(z1|x, z2), z = [z1, z2] of half the width each."""

    has_log_prob = True

    def __init__(self, latent_dim, seed=0, **kwargs):
        super().__init__(latent_dim, seed, **kwargs)
        self.half = latent_dim // 2
        self.num_params = 4 * self.half  # features, and the parameters of z2
        self.network = dense(3 * self.half, 2 * self.half, 10 * (seed or 0) + 1)

    def split(self, params):
        features, mean, log_var = ops.split(
            params, [2 * self.half, 3 * self.half], axis=-1
        )
        return features, mean, bound_log_var(log_var)

    def lower(self, params, upper):
        """Mean and log-variance of z1, of the shape of `upper`."""
        features = ops.broadcast_to(
            self.split(params)[0], (*ops.shape(upper)[:-1], 2 * self.half)
        )
        rows = ops.reshape(ops.concatenate([features, upper], -1), (-1, 3 * self.half))
        shape = (*ops.shape(upper)[:-1], 2 * self.half)
        mean, log_var = ops.split(ops.reshape(self.network(rows), shape), 2, axis=-1)
        return mean, bound_log_var(log_var)

    def levels(self, params, z):
        """log q(z1|x, z2) and log q(z2|x), each (S, B)."""
        lower, upper = ops.split(z, 2, axis=-1)
        _, mean, log_var = self.split(params)
        mean_1, log_var_1 = self.lower(params, upper)
        parts = (lower, mean_1, log_var_1), (upper, mean, log_var)
        return [
            ops.sum(normal_log_prob((v - m) * ops.exp(-s / 2), s), axis=-1)
            for v, m, s in parts
        ]

    def log_prob(self, params, z):
        return sum(self.levels(params, z))

    def sample_and_log_prob(self, params, num_samples=1):
        _, mean, log_var = self.split(params)
        noise = self.sampling.noise(ops.tile(mean, [1, 2]), num_samples)
        noise_1, noise_2 = ops.split(noise, 2, axis=-1)
        upper = mean + ops.exp(log_var / 2) * noise_2
        mean_1, log_var_1 = self.lower(params, upper)
        z = ops.concatenate([mean_1 + ops.exp(log_var_1 / 2) * noise_1, upper], -1)
        return z, self.log_prob(params, z)

    def mean(self, params):
        upper = self.split(params)[1]
        return ops.concatenate([self.lower(params, upper)[0], upper], -1)


@keras.saving.register_keras_serializable(package="tests")
class Learned(Prior):
    """p(z2) = N(0, I), p(z1|z2) a Gaussian from a network."""

    def __init__(self, latent_dim, **kwargs):
        super().__init__(latent_dim, **kwargs)
        self.network = dense(latent_dim // 2, latent_dim, 3)

    def lower(self, upper):
        rows = self.network(ops.reshape(upper, (-1, self.latent_dim // 2)))
        shape = (*ops.shape(upper)[:-1], self.latent_dim)
        return ops.split(ops.reshape(rows, shape), 2, axis=-1)

    def levels(self, z):
        lower, upper = ops.split(z, 2, axis=-1)
        mean, log_var = self.lower(upper)
        below = normal_log_prob((lower - mean) * ops.exp(-log_var / 2), log_var)
        return [ops.sum(below, axis=-1), ops.sum(normal_log_prob(upper), axis=-1)]

    def log_prob(self, z, encode=None):
        return sum(self.levels(z))

    def from_noise(self, normal, uniform):
        lower, upper = ops.split(normal, 2, axis=-1)
        mean, log_var = self.lower(upper)
        return ops.concatenate([mean + ops.exp(log_var / 2) * lower, upper], -1)


@keras.saving.register_keras_serializable(package="tests")
class TwoLevels(Latents):
    """Both, with the KL divergence by level."""

    def infer(self, params, num_samples, encode=None, decode=None, *, scalable=False):
        z, log_posterior = self.posterior.sample_and_log_prob(params, num_samples)
        levels = zip(
            self.posterior.levels(params, z), self.prior.levels(z), strict=True
        )
        kl = ops.stack([ops.mean(q - p, axis=0) for q, p in levels], axis=-1)
        return Inference(z, log_posterior, self.prior.log_prob(z), kl)


def two_levels(seed=0):
    return TwoLevels(TopDown(4, seed=seed), Learned(4))


def small_vae():
    latents = two_levels()
    networks = mlp(
        (6, 5, 1), 4, posterior_params=latents.num_params, likelihood_params=1
    )
    return VAE(*networks, latents=latents, num_samples=2)


IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 1), np.uint8)


@pytest.mark.parametrize(
    "make",
    [two_levels, lambda: OneLevel(DiagonalGaussian(3, seed=0), StandardNormal(3))],
)
def test_latents_keep_the_contract(make):
    check_latents(make())


def test_kl_by_level_sums_to_the_kl():
    found = two_levels().infer(tf.random.stateless_normal((5, 8), (1, 2)), 7)
    assert found.kl_by_group.shape == (5, 2)
    np.testing.assert_allclose(
        np.sum(found.kl_by_group, axis=-1),
        np.mean(found.log_posterior - found.log_prior, axis=0),
        rtol=1e-4,  # differences of sums of four terms
        atol=1e-4,
    )


def test_draws_of_two_levels_follow_their_density():
    latents = two_levels()
    z = latents.draw(3, 20_000)
    inside = stats.norm(0, 0.7).logpdf(z).sum(1)  # narrower than p: finite variance
    weight = np.exp(inside - np.asarray(latents.prior.log_prob(z)))  # of mean 1
    assert abs(weight.mean() - 1) < 5 * weight.std() / np.sqrt(len(weight))
    # products in batches of another size differ in the last bits
    np.testing.assert_allclose(latents.draw(3, 7), z[:7], atol=1e-5)


def test_two_levels_train_save_and_generate(tmp_path):
    vae = small_vae()
    vae.compile(keras.optimizers.Adam(1e-2), steps_per_execution=2)
    history = vae.fit(IMAGES, batch_size=8, epochs=4, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0]
    for name in ("posterior", "prior"):  # both networks learn
        assert getattr(vae, name).network.trainable_weights
    vae.save(tmp_path / "vae.keras")
    again = keras.saving.load_model(tmp_path / "vae.keras")
    assert isinstance(again.latents, TwoLevels)
    np.testing.assert_array_equal(vae.generate(5, seed=2), again.generate(5, seed=2))
    np.testing.assert_array_equal(vae.encode(IMAGES), again.encode(IMAGES))


def test_two_levels_export_as_one_decoder_with_its_generator(tmp_path):
    vae = small_vae()
    errors = export_decoder(vae, tmp_path / "export", ["onnx", "saved_model"])
    assert max(errors.values()) <= 1e-5


def test_a_training_of_two_levels_that_is_cut_ends_with_the_same_bits(tmp_path):
    ends = []
    for folder, parts in (("whole", [4]), ("cut", [1, 3, 4])):
        for epochs in parts:
            vae = small_vae()
            vae.compile(keras.optimizers.Adam(1e-2), steps_per_execution=2)
            kept = [Checkpoint(tmp_path / folder)]
            options = {"batch_size": 8, "verbose": 0, "callbacks": kept}
            history = vae.fit(IMAGES, epochs=epochs, **options).history
        weights = [weight.tobytes() for weight in vae.get_weights()]
        ends.append((weights, history))
    assert ends[0] == ends[1]


def test_free_bits_work_by_level():
    vae = small_vae()
    params = vae._params(vae._scaled(IMAGES))
    terms = vae.terms(vae._scaled(IMAGES))
    assert terms.kl_by_group.shape == (20, 2) and params.shape == (20, 8)


def test_parts_that_do_not_go_together_are_refused():
    with pytest.raises(UsageError, match="latent_dim=3 and the prior 4; they must"):
        OneLevel(DiagonalGaussian(3), StandardNormal(4))
