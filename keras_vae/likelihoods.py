"""Likelihoods p(x|z): what a decoder's output says about the pixels.

Every likelihood is a Keras layer with the same interface, and knows nothing of decoders
or models:

    num_params             int K, the decoder's outputs for each pixel and channel
    log_prob(params, x)    -> float (...,), nats per image, summed over the pixels
    mean(params)           -> float (..., H, W, C) in [0, 1]; so does calling the layer
    sample(params, seed)   -> float (..., H, W, C) in [0, 1]
    output_bias(data_mean) -> float (H, W, C * K), NumPy: the decoder's output bias with
                              which it starts from the mean image of the training data

`params` is float (..., H, W, C * K): K blocks of C channels. `x` is float (B, H, W, C)
in [0, 1] and broadcasts against the leading axes of `params`, so that one batch serves
S samples.
"""

import keras
import numpy as np
from keras import ops

PIXELS = (-3, -2, -1)  # the axes H, W, C


@keras.saving.register_keras_serializable(package="keras_vae")
class Bernoulli(keras.layers.Layer):
    """Independent Bernoulli pixels, from logits.

    log p(x|z) = sum_i x_i log(mean_i) + (1 - x_i) log(1 - mean_i), with mean the sigmoid
    of the logit l (Kingma & Welling 2014, eq. 11): the negative binary cross-entropy.
    Computed as (x - [l >= 0]) l - log(1 + exp(-|l|)), exact at any l.
    Grey pixels in [0, 1] are accepted as they are by custom; the density is then not
    normalised (see `ContinuousBernoulli`).

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Example:
        >>> logits = ops.zeros((1, 28, 28, 1))
        >>> round(float(Bernoulli().log_prob(logits, ops.ones((1, 28, 28, 1)))[0]), 3)
        -543.427
    """

    num_params = 1

    def call(self, params):
        return self.mean(params)

    def log_prob(self, params, x):
        """The log-likelihood of x.

        Args:
            params: float (..., H, W, C), logits.
            x: float (B, H, W, C) in [0, 1].

        Returns:
            float (...,), nats per image, <= 0.
        """
        # `where` rather than `abs`, whose gradient at a logit of exactly 0, where an
        # untrained decoder may start, is 0: then the sum's would not be x - 0.5
        positive = params >= 0
        softplus = ops.log1p(ops.exp(ops.where(positive, -params, params)))
        slope = ops.where(positive, x - 1.0, x)
        return ops.sum(slope * params - softplus, axis=PIXELS)

    def mean(self, params):
        """The mean image, float (..., H, W, C) in [0, 1]."""
        return ops.sigmoid(params)

    def sample(self, params, seed=None):
        """Draws binary pixels, float (..., H, W, C), 0 or 1."""
        uniform = keras.random.uniform(ops.shape(params), seed=seed)
        return ops.cast(uniform < self.mean(params), params.dtype)

    def output_bias(self, data_mean):
        """The logits of `data_mean`, kept within [0.001, 0.999]."""
        mean = np.clip(np.asarray(data_mean, np.float32), 1e-3, 1.0 - 1e-3)
        return np.log(mean) - np.log1p(-mean)


LIKELIHOODS = {
    "bernoulli": Bernoulli,
}
