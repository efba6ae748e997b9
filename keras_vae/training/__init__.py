"""How a model is trained: many steps in one program, callbacks, optimizers.

What is minimized, the warm-up of its KL term included, is in `keras_vae.objectives`.
"""
