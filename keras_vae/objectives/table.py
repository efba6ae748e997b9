"""Objectives: what training minimizes, from terms in nats per image.

An objective is a Keras layer (so that its weights, such as beta, are tracked and saved)
with one method,

    loss(terms) -> float (B,), nats per image; the model minimizes its weighted mean

`keras_vae.objectives.terms.Terms` carries what one pass of the model found. Fields that
an objective does not use cost nothing: the operations behind them are pruned from the
compiled step, so the model fills in all of them and the objective picks. What an
objective needs beyond that, it says in class attributes, which `check_parts` reads:

    posterior_methods         methods that the posterior must have
    doubly_reparameterized    True: the model computes log_posterior with constant
                              parameters and hands over `Terms.scale_z_gradient`
"""

from keras_vae.distributions.posteriors import DiagonalGaussian
from keras_vae.errors import UsageError
from keras_vae.objectives.aggregate import BetaTCVAE, InfoVAE
from keras_vae.objectives.elbo import ELBO
from keras_vae.objectives.importance import IWAE, DReG


def check_parts(objective, posterior, prior):
    """Refuses an objective that the posterior or the prior cannot serve.

    Args:
        objective: A layer of this module, or one like it.
        posterior: A layer of `keras_vae.distributions.posteriors`.
        prior: A layer of `keras_vae.distributions.priors`.

    Raises:
        UsageError: If they do not fit together.

    Example:
        >>> check_parts(DReG(), IAF(20), StandardNormal(20))
        UsageError: The objective DReG needs the posterior's log_prob, which IAF ...
    """
    name = type(objective).__name__
    for method in getattr(objective, "posterior_methods", ()):
        if not hasattr(posterior, method):
            raise UsageError(
                f"The objective {name} needs the posterior's {method}, which "
                f"{type(posterior).__name__} does not have; use diagonal_gaussian."
            )
    if hasattr(prior, "pseudo_inputs"):
        if type(posterior) is not DiagonalGaussian:
            raise UsageError(
                f"The prior {type(prior).__name__} is a mixture of diagonal_gaussian "
                f"posteriors; got {type(posterior).__name__}."
            )
        if isinstance(objective, InfoVAE):
            raise UsageError(
                f"The objective {name} draws from the prior in training, which "
                f"{type(prior).__name__} cannot; use standard_normal or mixture."
            )


OBJECTIVES = {
    "elbo": ELBO,
    "iwae": IWAE,
    "dreg": DReG,
    "beta_tcvae": BetaTCVAE,
    "infovae": InfoVAE,
}
