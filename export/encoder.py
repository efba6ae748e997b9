"""The other way round: from an image to where it lies, and how likely it is.

`encoder_mean` is x -> mean and log_var of q(z|x); nothing is drawn. `score_function` is
the evidence lower bound with the posterior's mean in place of its draws.
"""

import numpy as np

from export.decoder import in_float32, named_function, named_inputs, widened
from keras_vae.errors import UsageError


def encoder_mean(vae):
    """Mean and log-variance of q(z|x) as a Functional model, without noise.

    `mean` is what `VAE.encode` gives. `log_var` is the natural log of each latent's
    variance: with a `full_gaussian` posterior of the covariance's diagonal; with
    several levels, whose z is the noise of each level side by side, that of the level
    given x and the means of the levels above it.

    Args:
        vae: a `VAE`.

    Returns:
        `keras.Model` from x, float32 (batch, H, W, C) in [0, 1], and for a conditional
        model [x, label], label int64 (batch,), to a dict of `mean` and `log_var`,
        float32 (batch, latent_dim).

    Raises:
        UsageError: if the posterior has no variance in closed form: `iaf`.
    """
    import keras

    inputs = _inputs(vae)
    mean, log_var, _ = _encoding(vae)(*inputs)
    outputs = {"mean": mean, "log_var": log_var}
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs, name="encode")


def encode_function(model, batch: int | None = None):
    """`model` as a TensorFlow function with named inputs and outputs.

    Args:
        model: what `encoder_mean` returns.
        batch: the only batch size it takes; None takes any.

    Returns:
        `tf.function` of x (and label) with an input signature; it returns a dict of
        `mean` and `log_var`.

    Raises:
        ModelError: if an operator inside it draws random numbers.
    """

    def encode(x, *label):
        return model([x, *label] if label else x, training=False)

    return named_function(model.inputs, encode, "encoder", batch)


def score_function(vae):
    """How likely images are, at the mean of their posterior, in nats.

        elbo_at_mean = log p(x | z = mean) - KL(q(z|x) || p(z))

    It is the evidence lower bound (Kingma & Welling 2014, eq. 3) with the first term
    taken at the posterior's mean, not averaged over draws. So it has no noise and is
    the same in every runtime, but it is no bound: where the decoder is not linear it
    may lie on either side of the elbo, as a rule above. The KL divergence is the closed
    form where there is one (`Latents.has_closed_form_kl`), else log q(mean|x) - log
    p(mean); see `Latents.kl_at_mean`. Pixels are taken as they are, by a model of
    binary ones, too.

    Args:
        vae: a `VAE`, with `refresh_prior` called.

    Returns:
        `tf.function` of x (and label), see `encoder_mean`; it returns a dict:
        `elbo_at_mean`, float32 (batch,), in nats per image; `reconstruction`, float32
        (batch, H, W, C) in [0, 1], the mean of p(x | z = mean); `mean` and `log_var`.

    Raises:
        ModelError: if an operator inside it draws random numbers.
        UsageError: if the posterior has no variance in closed form: `iaf`.
    """
    decoder, encode = in_float32(vae.decoder), _encoding(vae)

    def score(x, *label):
        mean, log_var, params = encode(x, *label)
        output = decoder([mean, *label] if label else mean, training=False)
        log_likelihood = vae.likelihood.log_prob(output[None], x)[0]
        return {
            "elbo_at_mean": log_likelihood
            - vae.latents.kl_at_mean(params, mean, log_var),
            "reconstruction": vae.likelihood.mean(output),
            "mean": mean,
            "log_var": log_var,
        }

    return named_function(_inputs(vae), score, "model")


def golden_encodings(vae, golden: dict) -> dict:
    """Images with the score that Keras gives for them.

    Args:
        vae: the model that is exported.
        golden: the golden vectors of its decoder; see `export.bundle.golden_vectors`.

    Returns:
        dict of NumPy arrays: x (16, H, W, C), the golden images, which go with the
        golden label, the second half in black and white alone; what `score_function`
        gives for them.
    """
    x = golden["images"].copy()
    x[len(x) // 2 :] = np.rint(x[len(x) // 2 :])
    label = [golden["label"]] if "label" in golden else []
    found = score_function(vae)(x, *label)
    return {"x": x} | {name: value.numpy() for name, value in found.items()}


def _inputs(vae):
    return named_inputs("x", vae.image_shape, vae.num_classes)


def _encoding(vae):
    """From x (and label) to mean, log-variance and the encoder's output, in float32."""
    from keras import ops

    from keras_vae.networks.top_down import TopDown

    if not vae.posterior.is_gaussian:
        raise UsageError(
            "An encoder gives mean and log_var, which a posterior of the type "
            f"{type(vae.posterior).__name__} does not have in closed form; leave out "
            "with_encoder, or train with diagonal_gaussian or full_gaussian."
        )
    encoder, latents = in_float32(vae.encoder), _latents_in_float32(vae.latents)
    decoder = in_float32(vae.decoder)

    def encode(x, *label):
        params = encoder([x, *label] if label else x, training=False)
        if isinstance(params, list | tuple):
            params = ops.concatenate(params, axis=-1)

        def decode(draw, num_samples=1):
            levels = TopDown.of(decoder)
            return levels.run(draw, lambda z: [z, *label] if label else z)

        return *latents.mean_and_log_var(params, decode), params

    return encode


def _latents_in_float32(latents):
    """The latents, or others, whose networks compute in float32."""
    import keras

    config = keras.saving.serialize_keras_object(latents.posterior)
    if not latents.networks or config == widened(config):
        return latents
    posterior = keras.saving.deserialize_keras_object(widened(config))
    posterior.set_weights(latents.posterior.get_weights())
    return type(latents)(posterior, latents.prior)
