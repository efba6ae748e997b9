"""Paths through the latent space of a trained model, and the pictures made of them."""
