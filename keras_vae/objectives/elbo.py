"""The evidence lower bound, weighted, warmed up, with free bits."""

import keras
from keras import ops

from keras_vae.errors import UsageError, number, whole_number
from keras_vae.objectives.terms import Objective, Terms, weighted_mean


@keras.saving.register_keras_serializable(package="keras_vae")
class ELBO(Objective):
    """The negative evidence lower bound; may be weighted, warmed up, with free bits.

    loss = -E_q[log p(x|z)] + beta * warmup(step) * KL(q(z|x) || p(z)). beta = 1 without
    the rest is Kingma & Welling (2014), eq. 3; beta > 1 the beta-VAE of Higgins et al.
    (2017). The warm-up rises linearly from 0 to 1 over `warmup_steps` (Bowman et al.
    2016); with more cycles it is repeated, each rise followed by as many steps at 1
    (Fu et al. 2019), and stays at 1 after the last. It is a function of the optimizer's
    step, so a resumed run goes on where it was, and the loss of validation data is
    taken at the full weight. Free bits (Kingma et al. 2016, eq. 15) replace the KL by
    sum_d max(free_bits, mean over the batch of KL_d), which leaves a latent's first
    nats unpunished; of several levels, by the same sum over levels; where the KL is
    known in one number only, by max(free_bits, KL).

    `beta` and `warmup_steps` are non-trainable variables: assign to them during
    training, and the compiled step follows. Without warm-up at the start there is none
    later.

    Args:
        beta: float >= 0, the weight of the KL term; 0 for an autoencoder without it.
        warmup_steps: int >= 0, optimizer steps of a rise; 0 is no warm-up.
        warmup_cycles: int >= 1, how often the weight rises in the warm-up.
        free_bits: float >= 0, nats of each latent's KL divergence that cost nothing, or
            of each level's, where there are several.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        UsageError: If a number is out of its range.

    Example:
        >>> terms = Terms(ops.full((1, 4), -90.0), kl_by_group=ops.ones((4, 20)))
        >>> ELBO(beta=2.0).loss(terms).numpy().tolist()
        [130.0, 130.0, 130.0, 130.0]
    """

    def __init__(
        self,
        beta: float = 1.0,
        warmup_steps: int = 0,
        warmup_cycles: int = 1,
        free_bits: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._config = {
            "beta": number("beta", beta),
            "warmup_steps": whole_number("warmup_steps", warmup_steps, minimum=0),
            "warmup_cycles": whole_number("warmup_cycles", warmup_cycles),
            "free_bits": number("free_bits", free_bits),
        }
        if self._config["warmup_cycles"] > 1 and not self._config["warmup_steps"]:
            raise UsageError(
                "warmup_cycles repeats a warm-up; give its warmup_steps (--kl-warmup, "
                "in epochs), or leave warmup_cycles out."
            )
        for name in ("beta", "warmup_steps"):  # read anew at every compiled step
            start = keras.initializers.Constant(self._config[name])
            setattr(self, name, self.add_weight((), start, name=name, trainable=False))
        self.built = True

    def warmup(self, step):
        """The weight at an optimizer step, float in [0, 1]; 1 where `step` is None."""
        if step is None or not self._config["warmup_steps"]:
            return 1.0
        rise = ops.maximum(self.warmup_steps, 1.0)
        cycle = 2.0 * rise  # the rise, then as long at 1
        step = ops.cast(step, "float32")
        last = (self._config["warmup_cycles"] - 1) * cycle
        in_cycle = ops.where(step < last, ops.mod(step, cycle), step - last)
        return ops.minimum(in_cycle / rise, 1.0)

    def loss(self, terms: Terms):
        kl = terms.kl_divergence
        if self._config["free_bits"]:
            groups = terms.kl_by_group
            groups = kl[:, None] if groups is None else groups  # (B, G)
            mean = weighted_mean(groups, terms.weight)  # (G,)
            kl = ops.sum(ops.maximum(mean, self._config["free_bits"]))
        log_likelihood = ops.mean(terms.log_likelihood, axis=0)
        return self.beta * self.warmup(terms.step) * kl - log_likelihood

    def get_config(self):
        return {**super().get_config(), **self._config}
