"""The ELBO on the test split, as metrics.json has it."""

from keras_vae.config import TrainConfig
from keras_vae.data.sources import ImageSource
from keras_vae.distributions.likelihoods import bits_per_dimension
from keras_vae.metrics.log_likelihood import has_bits
from keras_vae.model import VAE


def elbo_report(vae: VAE, config: TrainConfig, source: ImageSource) -> dict:
    """What metrics.json says of a model after its training: its ELBO, and the parts.

    Args:
        vae: The model, compiled.
        config: The options of its run.
        source: Its images.

    Returns:
        dict of numbers and what they are numbers of.

    Raises:
        DivergedError: If one of them is NaN or infinite.
    """
    metrics = vae.evaluate(
        source.test,
        batch_size=config.batch_of(len(source.train)),
        verbose=0,
        return_dict=True,
    )
    report = {
        "dataset": source.name,
        "split": "test",
        "num_images": len(source.test),
        "binarization": config.binarization,
        "estimator": "elbo",
        "num_samples": config.num_samples,
        "unit": "nats per image",
        **{name: metrics[name] for name in ("elbo", "log_likelihood", "kl_divergence")},
    }
    if has_bits(vae):  # of the bound, as the estimator says
        bits = bits_per_dimension(-report["elbo"], vae.image_shape)
        report["bits_per_dimension"] = bits
    return report
