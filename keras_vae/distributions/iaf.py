"""A posterior: inverse autoregressive flow."""

import keras
import numpy as np
from keras import ops

from keras_vae.distributions.normal import normal_log_prob
from keras_vae.distributions.posteriors import Posterior
from keras_vae.distributions.sampling import bound_log_var, reparameterize
from keras_vae.errors import whole_number


@keras.saving.register_keras_serializable(package="keras_vae")
class IAF(Posterior):
    """Inverse autoregressive flow: a diagonal Gaussian, bent by autoregressive steps.

    Kingma et al. (2016), algorithm 1, in the LSTM-like form of eq. 13: the encoder
    gives [mean, log_var, context], z_0 = mean + exp(log_var / 2) * noise, and each of
    `num_flows` steps computes

        m, s = masked_network(z, context);  z <- sigmoid(s) * z + (1 - sigmoid(s)) * m
        log q(z|x) <- log q(z|x) - sum_d log sigmoid(s_d)

    where m_d and s_d depend on z_1 .. z_(d-1) only, so that the Jacobian is triangular.
    The latents are reversed after each step. The masked networks have one hidden layer
    (Germain et al. 2015) and start near sigmoid(s) = 0.88. The density is known at the
    drawn points only: there is no `log_prob`.

    Args:
        latent_dim: int >= 1, the number of latents D.
        num_flows: int from 1 to 100, autoregressive steps.
        hidden: int from 1 to 10,000, the width of the masked networks.
        seed: int or None, for the noise and the initial weights.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If a number is not a positive integer.

    Example:
        >>> posterior = IAF(latent_dim=20, num_flows=4, seed=0)
        >>> z, log_q = posterior.sample_and_log_prob(ops.zeros((8, 60)), num_samples=5)
        >>> tuple(z.shape), tuple(log_q.shape)
        ((5, 8, 20), (5, 8))
    """

    def __init__(
        self,
        latent_dim: int,
        num_flows: int = 2,
        hidden: int = 128,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(latent_dim, seed, **kwargs)
        self.num_flows = whole_number("num_flows", num_flows, maximum=100)
        self.hidden = whole_number("hidden", hidden, maximum=10_000)
        self.num_params = 3 * self.latent_dim
        # MADE: input d has degree d + 1, a hidden unit sees the inputs up to its own
        # degree, output d the hidden units of a lower degree than d + 1
        degrees = np.arange(1, self.latent_dim + 1)
        hidden_degrees = np.arange(self.hidden) % self.latent_dim
        inward = hidden_degrees[None, :] >= degrees[:, None]  # (D, hidden)
        outward = degrees[None, :] > hidden_degrees[:, None]  # (hidden, D)
        self._inward_mask = inward.astype("float32")
        self._outward_mask = np.tile(outward, 2).astype("float32")  # m and s
        self._flows = [self._add_flow(index) for index in range(self.num_flows)]
        self.built = True

    def _add_flow(self, index):
        """The weights of one step: three kernels and two biases."""
        d, width = self.latent_dim, self.hidden
        # s starts at 2: little of m, as the paper advises
        start = keras.initializers.Constant([0.0] * d + [2.0] * d)
        weights = [
            ("from_z", (d, width), self._glorot(index, 0)),
            ("from_context", (d, width), self._glorot(index, 1)),
            ("to_output", (width, 2 * d), self._glorot(index, 2)),
            ("hidden_bias", (width,), "zeros"),
            ("output_bias", (2 * d,), start),
        ]
        return [
            self.add_weight(shape, initializer, name=f"flow_{index}_{name}")
            for name, shape, initializer in weights
        ]

    def _glorot(self, *place):
        """An initializer with a seed of its own for each kernel."""
        seed = self.seed
        if seed is not None:
            seed = int(np.random.default_rng([seed, *place]).integers(2**31))
        return keras.initializers.GlorotUniform(seed=seed)

    def split(self, params):
        """Splits the encoder's output.

        Args:
            params: float (..., 3 * latent_dim).

        Returns:
            mean and log_var of the first Gaussian, and the context of the steps, each
            float (..., latent_dim).
        """
        mean, log_var, context = ops.split(params, 3, axis=-1)
        return mean, bound_log_var(log_var), context

    def _flow(self, z, context):
        """Sends z (..., D) through the steps; also the log-determinant, (...)."""
        log_determinant = 0.0
        for flow in self._flows:
            from_z, from_context, to_output, hidden_bias, output_bias = flow
            hidden = ops.matmul(z, from_z * self._inward_mask)
            hidden = hidden + ops.matmul(context, from_context) + hidden_bias
            output = ops.matmul(ops.elu(hidden), to_output * self._outward_mask)
            m, s = ops.split(output + output_bias, 2, axis=-1)
            gate = ops.sigmoid(s)
            z = gate * z + (1.0 - gate) * m
            log_determinant = log_determinant - ops.sum(ops.softplus(-s), axis=-1)
            z = ops.flip(z, axis=-1)
        return z, log_determinant

    def mean(self, params):
        """The first Gaussian's mean, sent through the steps; float (B, latent_dim)."""
        mean, _, context = self.split(params)
        return self._flow(mean, context)[0]

    def sample_and_log_prob(self, params, num_samples: int = 1):
        mean, log_var, context = self.split(params)
        noise = self.sampling.noise(mean, num_samples)  # (S, B, D)
        log_q = ops.sum(normal_log_prob(noise, log_var), axis=-1)
        z, log_determinant = self._flow(reparameterize(mean, log_var, noise), context)
        return z, log_q - log_determinant

    def get_config(self):
        return {
            **super().get_config(),
            "num_flows": self.num_flows,
            "hidden": self.hidden,
        }
