"""How a model is trained: many steps in one program, callbacks, optimizers."""
