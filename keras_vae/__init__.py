"""Variational autoencoders in Keras, and a decoder that generates images anywhere.

Public names are resolved when they are first used (PEP 562), so that importing the
package, or asking a command for its help, does not import TensorFlow.
"""

import importlib

__version__ = "0.1.0"

_NAMES = {  # module -> its public names
    "model": ["VAE"],
    "config": ["TrainConfig"],
    "data.sources": ["ImageSource", "load"],
    "data.splits": ["ArraySplit", "Split"],
    "distributions.divergences": ["closed_form_kl", "register_kl"],
    "distributions.flow": ["Flow"],
    "distributions.iaf": ["IAF"],
    "distributions.latents": ["Inference", "Latents", "OneLevel"],
    "distributions.levels": ["Levels", "TopDownPosterior", "TopPrior"],
    "distributions.likelihoods": [
        "Bernoulli",
        "ContinuousBernoulli",
        "Gaussian",
        "Likelihood",
        "bits_per_dimension",
    ],
    "distributions.logistic_mixture": ["DiscretizedLogisticMixture"],
    "distributions.posteriors": ["DiagonalGaussian", "FullGaussian", "Posterior"],
    "distributions.priors": ["GaussianMixture", "Prior", "StandardNormal", "VampPrior"],
    "distributions.sampling": ["Sampling"],
    "networks.top_down": ["TopDown"],
    "objectives.aggregate": ["BetaTCVAE", "InfoVAE"],
    "objectives.elbo": ["ELBO"],
    "objectives.importance": ["DReG", "IWAE"],
    "objectives.terms": ["Objective", "Terms"],
    "pictures.grids": ["picture"],
    "runs.build": ["build_vae"],
    "runs.trained": ["load_run"],
    "training.checkpoints": ["Checkpoint"],
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [*_MODULE_OF]


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
