"""The function that every format carries: from a latent point to an image.

A trained decoder returns the parameters of its likelihood (logits, for instance). What
is shipped is the likelihood's mean, so the artifact gives pixels in [0, 1] and nothing
in it is random: noise that is drawn inside the graph has other values in each runtime.
It computes in float32 with the float32 weights, in whatever precision it was trained.
"""

import json

from keras_vae.errors import ModelError

LOW_PRECISION = ("float16", "bfloat16")


def decoder_mean(vae):
    """The mean of p(x|z) as a Functional model with a static image shape.

    Args:
        vae: a `VAE`, or any object with its `decoder`, `likelihood`, `latent_dim` and
            `num_classes`.

    Returns:
        `keras.Model` from z, float32 (batch, latent_dim), and for a conditional model
        [z, label], label int64 (batch,), to images, float32 (batch, H, W, C) in [0, 1].
    """
    import keras

    inputs = named_inputs("z", (vae.latent_dim,), vae.num_classes)
    inputs = inputs if len(inputs) > 1 else inputs[0]
    params = in_float32(vae.decoder)(inputs, training=False)
    # `mean` rather than a call of the layer: the model then holds only Keras's own
    # operations, and `decoder.keras` loads without this package.
    images = vae.likelihood.mean(params)  # (batch, H, W, C)
    return keras.Model(inputs, images, name="decoder_mean")


def named_inputs(name: str, shape, num_classes: int | None) -> list:
    """What a network takes, as symbolic tensors: one, and the label of a conditional.

    Args:
        name: of the first, float32 (batch, *shape).
        shape: tuple of int.
        num_classes: of a conditional model, whose second is label, int64 (batch,).
    """
    import keras

    inputs = [keras.Input(shape, name=name, dtype="float32")]
    if num_classes is not None:
        inputs.append(keras.Input((), name="label", dtype="int64"))
    return inputs


def in_float32(network):
    """The network, or a copy that computes in float32 where it computes in less.

    Args:
        network: `keras.Model`, the decoder or the encoder.

    Raises:
        ModelError: if it cannot be copied.
    """
    import keras

    try:
        config = network.get_config()
    except NotImplementedError:  # a subclass, which cannot be copied
        return network
    if _text(config) == _text(widened(config)):
        return network

    def clone(layer):
        return type(layer).from_config(widened(layer.get_config()))

    try:
        copy = keras.models.clone_model(network, clone_function=clone, recursive=True)
    except ValueError as error:
        raise ModelError(
            f"The {network.name} computes in low precision and cannot be copied in "
            f"float32: {error}"
        ) from error
    copy.set_weights(network.get_weights())
    return copy


def widened(config):
    """A config in which dtypes below float32, and policies of them, are float32."""
    if isinstance(config, list | tuple):
        return type(config)(map(widened, config))
    if not isinstance(config, dict):
        return config
    policy = config.get("class_name") == "DTypePolicy"
    config = {name: widened(value) for name, value in config.items()}
    if policy:
        config["config"] = {"name": _wide(config["config"]["name"])}
    if isinstance(config.get("dtype"), str):
        config["dtype"] = _wide(config["dtype"])
    return config


def _wide(dtype):
    return "float32" if dtype.removeprefix("mixed_") in LOW_PRECISION else dtype


def _text(config):
    return json.dumps(config, default=str)


def decode_function(model, batch: int | None = None):
    """`model` as a TensorFlow function with named inputs and a named output.

    Args:
        model: what `decoder_mean` returns.
        batch: the only batch size it takes; None takes any.

    Returns:
        `tf.function` of z (and label) with an input signature; it returns a dict whose
        one key, `images`, names the output in every format.

    Raises:
        ModelError: if an operator inside it draws random numbers.
    """

    def decode(z, *label):
        return {"images": model([z, *label] if label else z, training=False)}

    return named_function(model.inputs, decode, "decoder", batch)


def named_function(inputs, call, part: str, batch: int | None = None):
    """A function of tensors as a TensorFlow function of named inputs.

    Args:
        inputs: from `named_inputs`.
        call: from as many tensors to a dict of tensors.
        part: what it is of, for the error.
        batch: the only batch size it takes; None takes any.

    Returns:
        `tf.function` with an input signature, and with the dict's keys as the names of
        its outputs.

    Raises:
        ModelError: if it does not give the same for the same: if an operator inside it
            draws random numbers.
    """
    import tensorflow as tf

    signature = [
        tf.TensorSpec((batch, *tensor.shape[1:]), tensor.dtype, name=tensor.name)
        for tensor in inputs
    ]
    function = tf.function(call, input_signature=signature, autograph=False)
    for operator in function.get_concrete_function().graph.get_operations():
        if "Random" in operator.type or "Rng" in operator.type:
            raise ModelError(
                f"The {part} draws random numbers ({operator.type}), so no two runs "
                f"would agree; remove the random layer from the {part}."
            )
    return function
