"""Tests of keras_vae and export: `python -m pytest`; benchmarks and faults besides."""
