"""A program: how far apart one part of the CPU and several end, as JSON.

TensorFlow divides a CPU only before it has begun, so this is no test by itself.
"""

import json

import keras
import numpy as np
import tensorflow as tf

from keras_vae import VAE
from keras_vae.networks.mlp import mlp
from keras_vae.objectives.elbo import ELBO
from keras_vae.training.devices import chosen_strategy

IMAGES, BATCH = 40, 16  # the last batch of an epoch has 8
SHAPE = (6, 5, 1)

rng = np.random.default_rng(0)
x = rng.integers(0, 256, (IMAGES, *SHAPE), np.uint8)
labels = rng.integers(0, 3, IMAGES)
weight = rng.uniform(0.5, 2.0, IMAGES).astype("float32")


def own_batches():
    data = tf.data.Dataset.from_tensor_slices((x, labels, weight))
    return data.shuffle(IMAGES, seed=1, reshuffle_each_iteration=False).batch(BATCH)


def cases():
    """Name: arguments of the model, and of fit."""
    return {
        "dynamic": ({"binarization": "dynamic"}, {"x": x}),
        "iwae": ({"objective": "iwae", "num_samples": 3, "posterior": "iaf"}, {"x": x}),
        "free_bits": ({"free_bits": 0.3, "prior": "mixture"}, {"x": x}),
        "own_batches": ({"num_classes": 3}, {"x": own_batches()}),
        "regularized": ({"l2": 1e-2}, {"x": x, "sample_weight": weight}),
    }


def model(optimizer, l2=None, free_bits=0.0, **arguments):
    if free_bits:
        arguments["objective"] = ELBO(free_bits=free_bits)
    latent_dim = 3
    iaf = arguments.get("posterior") == "iaf"
    encoder, decoder = mlp(
        SHAPE,
        latent_dim,
        posterior_params=(3 if iaf else 2) * latent_dim,
        likelihood_params=1,
        hidden=(8,),
        num_classes=arguments.get("num_classes"),
    )
    if l2:
        for layer in decoder.layers:
            if isinstance(layer, keras.layers.Dense):
                layer.kernel_regularizer = keras.regularizers.L2(l2)
    vae = VAE(encoder, decoder, **arguments)
    vae.compile(optimizer(), steps_per_execution=2, jit_compile=False)
    return vae


def trained(strategy, optimizer, arguments, data, **fit):
    """The change of each weight, the history, and reconstructions."""
    with strategy.scope():
        vae = model(optimizer, **arguments)
    before = vae.get_weights()
    validation = (x, labels) if "num_classes" in arguments else x
    history = vae.fit(**data, validation_data=validation, verbose=0, **fit).history
    changes = [b - a for a, b in zip(before, vae.get_weights(), strict=True)]
    return changes, history, vae.reconstruct(x[:9], labels[:9])


def apart(one, other):
    """The largest difference, relative to the largest value of each array."""
    ones, others = ([np.asarray(a, float) for a in part] for part in (one, other))
    return max(
        float(abs(a - b).max() / max(abs(a).max(), 1e-6))
        for a, b in zip(ones, others, strict=True)
    )


def main():
    assert chosen_strategy(4, timeout=1).num_replicas_in_sync == 4
    one_device = tf.distribute.get_strategy()
    found = {}
    for name, (arguments, data) in cases().items():
        size = {} if name == "own_batches" else {"batch_size": BATCH}
        runs = {}
        for number in (1, 2, 4) if name == "dynamic" else (1, 2):
            strategy = one_device
            if number > 1:
                strategy = tf.distribute.MirroredStrategy(
                    [f"CPU:{k}" for k in range(number)],
                    tf.distribute.ReductionToOneDevice(),
                )
            step = trained(
                strategy,
                lambda: keras.optimizers.SGD(1.0),
                arguments,
                {k: v if k == "x" and size == {} else v[:9] for k, v in data.items()},
                **size,
                steps_per_epoch=1,
            )
            run = trained(
                strategy, keras.optimizers.Adam, arguments, data, epochs=3, **size
            )
            runs[number] = step, run
        (step, run) = runs.pop(1)
        for number, (other_step, other_run) in runs.items():
            found[f"{name}-{number}"] = {
                "step": apart(step[0], other_step[0]),
                "history": apart(run[1].values(), other_run[1].values()),
                "images": apart([run[2]], [other_run[2]]),
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
