"""The tables of distributions: name -> class, for the command line and for `VAE`."""

from keras_vae.distributions.flow import Flow
from keras_vae.distributions.iaf import IAF
from keras_vae.distributions.likelihoods import Bernoulli, ContinuousBernoulli, Gaussian
from keras_vae.distributions.logistic_mixture import DiscretizedLogisticMixture
from keras_vae.distributions.posteriors import DiagonalGaussian, FullGaussian
from keras_vae.distributions.priors import GaussianMixture, StandardNormal, VampPrior

POSTERIORS = {
    "diagonal_gaussian": DiagonalGaussian,
    "full_gaussian": FullGaussian,
    "iaf": IAF,
}

PRIORS = {
    "standard_normal": StandardNormal,
    "mixture": GaussianMixture,
    "vampprior": VampPrior,
    "flow": Flow,
}

LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "gaussian": Gaussian,
    "discretized_logistic_mixture": DiscretizedLogisticMixture,
}
