"""Variational autoencoders in Keras, and a decoder that generates images anywhere.

Public names are resolved when they are first used (PEP 562), so that importing the
package, or asking a command for its help, does not import TensorFlow.
"""

import importlib

__version__ = "0.1.0"

_MODULE_OF = {
    "VAE": "model",
    "build_vae": "runs.build",
    "load_run": "runs.trained",
    "Sampling": "distributions.sampling",
    "TrainConfig": "config",
    "load": "data.sources",
    "ImageSource": "data.sources",
    "Split": "data.splits",
    "ArraySplit": "data.splits",
}

__all__ = [*_MODULE_OF]


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
