"""The table of objectives, and which of them go with which latents."""

from keras_vae.errors import UsageError
from keras_vae.objectives.aggregate import BetaTCVAE, InfoVAE
from keras_vae.objectives.elbo import ELBO
from keras_vae.objectives.importance import IWAE, DReG


def check_latents(objective, latents):
    """Refuses an objective that the posterior or the prior cannot serve.

    Args:
        objective: An `Objective`.
        latents: `Latents`.

    Raises:
        UsageError: If they do not fit together.

    Example:
        >>> check_latents(DReG(), OneLevel(IAF(20), StandardNormal(20)))
        Traceback (most recent call last):
        ...
        keras_vae.errors.UsageError: The objective DReG needs the posterior's ...
    """
    name, posterior, prior = type(objective).__name__, latents.posterior, latents.prior
    for needed, method, there in (
        (objective.needs_log_prob, "log_prob", posterior.has_log_prob),
        (objective.needs_factorized, "log_prob_per_dimension", posterior.factorizes),
    ):
        if needed and not there:
            raise UsageError(
                f"The objective {name} needs the posterior's {method}, which "
                f"{type(posterior).__name__} does not have; use diagonal_gaussian, "
                "in one level."
            )
    if objective.draws_from_prior and not prior.draws_in_training:
        raise UsageError(
            f"The objective {name} draws from the prior in training, which one made of "
            "posteriors cannot; use standard_normal, mixture or flow."
        )


OBJECTIVES = {
    "elbo": ELBO,
    "iwae": IWAE,
    "dreg": DReG,
    "beta_tcvae": BetaTCVAE,
    "infovae": InfoVAE,
}
