"""Posteriors, priors and likelihoods, the noise they draw, and what joins them."""
