"""Recipes: what good runs need, by name, for `keras_vae.train --recipe`.

A recipe is options of a run: the model of a paper's table, the optimizer and schedule
that bring it there, and how its pixels are binarized and divided. What it leaves out is
as ever; each of its options can be overridden.
"""

from typing import Any, NamedTuple

from keras_vae.errors import unknown


class Recipe(NamedTuple):
    """Options under a name.

    Args:
        about: What it trains and where that is published, in half a sentence.
        options: Of `TrainConfig`.
    """

    about: str
    options: dict[str, Any]


def recipe(name: str) -> Recipe:
    """The recipe of a name.

    Args:
        name: A key of `RECIPES`.

    Raises:
        UsageError: If there is none, with the nearest name suggested.

    Example:
        >>> recipe("burda_vae").options["hidden"]
        (200, 200)
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]


# All 60,000 training images, a fresh draw of each pixel in each step.
MNIST = {
    "binarization": "dynamic",
    "validation_images": 0,
    "prior": "standard_normal",
}

CLASSIC = MNIST | {
    "network": "mlp",
    "hidden": (400,),
    "activation": "relu",
    "latent_dim": (20,),
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "batch_size": 128,
    "epochs": 150,
}

# Orthogonal steps want large batches; they fall to 0, with the last epoch.
MUON = {"optimizer": "muon", "learning_rate": 5e-3, "cosine_decay": True}

# Burda et al. (2015), "Importance weighted autoencoders", one stochastic layer
BURDA = (
    MNIST
    | {
        "network": "mlp",
        "hidden": (200, 200),
        "activation": "tanh",
        "latent_dim": (50,),
        "output_bias": True,
    }
    | MUON
    | {"batch_size": 500}
)

# Tomczak & Welling (2018), "VAE with a VampPrior"
GATED = (
    MNIST
    | {
        "validation_images": 10_000,
        "network": "gated_mlp",
        "hidden": (300, 300),
        "activation": "sigmoid",
        "latent_dim": (40,),
        "output_bias": True,
    }
    | MUON
    | {"batch_size": 250, "kl_warmup": 20.0, "epochs": 250}
)

# the models in saved_models, on which nothing was published
LADDER = {
    "network": "ladder",
    "activation": "silu",
    "latent_channels": 4,
    "optimizer": "adam",
    "cosine_decay": True,
    "clip_norm": 200.0,
}
DIGITS = (
    MNIST
    | LADDER
    | {
        "validation_images": 1_000,
        "hidden": (16, 32, 64),
        "num_levels": 3,
        "conditional": True,
        "learning_rate": 2e-3,
        "batch_size": 128,
        "ema": 0.999,
        "kl_warmup": 2.0,
        "epochs": 20,
    }
)
PLANE = MNIST | {
    "validation_images": 1_000,
    "network": "mlp",
    "hidden": (256, 256),
    "activation": "relu",
    "latent_dim": (2,),
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "cosine_decay": True,
    "batch_size": 128,
    "epochs": 100,
}
EMOJI = LADDER | {
    "image_size": (32,),
    "hidden": (32, 64, 128),
    "num_levels": 4,
    "prior": "flow",
    "conditional": True,
    "learning_rate": 1e-3,
    "batch_size": 64,
    "ema": 0.995,
    "kl_warmup": 5.0,
    "epochs": 80,
}

VAMPPRIOR = {"prior": "vampprior", "num_components": 500}
TWO_LEVELS = {
    "latent_dim": (40, 40),
    "batch_size": 500,
    "kl_warmup": 60.0,
    "epochs": 600,
}

RECIPES = {
    "classic": Recipe(
        "784-400-20-400-784, ReLU, Adam: the defaults, on binarized pixels",
        CLASSIC,
    ),
    "burda_vae": Recipe(
        "784-200-200-50, tanh: the VAE of Burda et al. (2015), Table 1",
        BURDA | {"epochs": 400},
    ),
    "burda_iwae_5": Recipe(
        "the same with their bound, k = 5",
        BURDA | {"objective": "iwae", "num_samples": 5, "epochs": 250},
    ),
    "burda_iwae_50": Recipe(
        "the same with their bound, k = 50",
        BURDA | {"objective": "iwae", "num_samples": 50, "epochs": 150},
    ),
    "gated_vae": Recipe(
        "784-300-300-40, gated: the one-level VAE of Tomczak & Welling (2018)",
        GATED,
    ),
    "vampprior": Recipe(
        "the same with their prior of 500 components",
        GATED | VAMPPRIOR,
    ),
    "two_levels": Recipe(
        "the same in two levels of 40 latents",
        GATED | TWO_LEVELS,
    ),
    "two_levels_vampprior": Recipe(
        "two levels, and the prior of 500 components on top",
        GATED | TWO_LEVELS | VAMPPRIOR | {"kl_warmup": 35.0, "epochs": 350},
    ),
    "mnist": Recipe("saved_models/mnist: a conditional ladder of three levels", DIGITS),
    "mnist_2d": Recipe("saved_models/mnist-2d: digits in a plane of latents", PLANE),
    "emoji": Recipe(
        "saved_models/emoji: a conditional ladder of four levels in color",
        EMOJI,
    ),
}
