"""The seeded generator as a graph: the same seed gives the same images everywhere.

The noise is that of `keras_vae.distributions.portable_noise`, whose arithmetic is exact
in float32: z has the same bits in every runtime, and pixels agree to the last few bits
that matrix products differ in. Random operators of the formats themselves do not even
agree with themselves between two runtimes.
"""


def generate_function(vae, model):
    """`generate(seed, num_images[, label])` as a TensorFlow function.

    Args:
        vae: gives `latents`.
        model: what `decoder_mean` returns for it.

    Returns:
        `tf.function` of int64 scalars: `seed` in [0, 2**24), `num_images` N, and for a
        conditional model the `label` of all images. It returns a dict: `images`,
        float32 (N, H, W, C), and `z`, float32 (N, latent_dim).
    """
    import tensorflow as tf

    if len(model.inputs) == 1:
        names = ("seed", "num_images")

        def generate(seed, num_images):  # pyright: ignore
            z = vae.latents.draw(seed, num_images, xp=tf)  # (N, D)
            return {"images": model(z, training=False), "z": z}

    else:
        names = ("seed", "num_images", "label")

        def generate(seed, num_images, label):
            z = vae.latents.draw(seed, num_images, xp=tf)  # (N, D)
            # Broadcasting to a computed shape is beyond some runtimes; adding is not.
            labels = tf.range(num_images) * 0 + label  # (N,)
            return {"images": model([z, labels], training=False), "z": z}

    signature = [tf.TensorSpec((), tf.int64, name=name) for name in names]
    return tf.function(generate, input_signature=signature, autograph=False)
