"""How each runtime loads the bundle: the shortest example a user would copy.

Each module has `load_decoder(path)` and, where there is a generator,
`load_generator(path)`. Adding a runtime: one module, and a name in its format's row of
`export.formats.FORMATS`.
"""

import importlib
from types import ModuleType

from export.formats import FORMATS

# from the runtime's name to the format that it runs
RUNTIMES = {name: row for row in FORMATS.values() for name in row.runtimes}


def load_runtime(name: str) -> ModuleType:
    """The module that runs artifacts with a runtime.

    Args:
        name: a key of `RUNTIMES`.

    Returns:
        module with `load_decoder` and perhaps `load_generator`.

    Raises:
        ImportError: if the runtime is not installed.
    """
    module = RUNTIMES[name].runtimes[name].module
    return importlib.import_module(f"export.runtimes.{module}")
