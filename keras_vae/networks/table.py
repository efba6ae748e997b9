"""The table of networks: name -> builder, for the command line.

Every builder has the same signature,

    build(image_shape, latent_dim, *, posterior_params, likelihood_params, hidden,
          activation, num_classes=None, output_bias=None, seed=0) -> (encoder, decoder)

with its own defaults for `hidden` and `activation`, and returns two Functional models,
which save, load and export as they are:

    encoder: x float32 (B, H, W, C) in [0, 1]  -> posterior parameters (B, P)
    decoder: z float32 (B, D)                  -> likelihood parameters (B, H, W, C * K)

With `num_classes` both take a second input, `label` int64 (B,), and are called with
[x, label] and [z, label]. P is `posterior_params` (one tensor: all heads are one matrix
product), K is `likelihood_params`. Every layer draws its initial weights from a seed of
its own, a function of `seed`.

Networks of several levels have a table of their own. There latent_dim names the widths
of the levels, no posterior_params are needed, and `LevelNetworks` are returned.
"""

from functools import partial

from keras_vae.networks.conv import conv
from keras_vae.networks.ladder import ladder
from keras_vae.networks.levels import levels
from keras_vae.networks.mlp import mlp
from keras_vae.networks.plain_conv import plain_conv

NETWORKS = {
    "mlp": mlp,
    "gated_mlp": partial(mlp, gated=True),
    "conv": conv,
    "plain_conv": plain_conv,
}

OF_LEVELS = {
    "mlp": partial(levels, mlp),
    "gated_mlp": partial(levels, partial(mlp, gated=True), gated=True),
    "conv": partial(levels, conv, width=256),
    "plain_conv": partial(levels, plain_conv, width=256),
    "ladder": ladder,
}

EVERY = OF_LEVELS | NETWORKS
