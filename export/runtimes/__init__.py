"""How each runtime loads the bundle: the shortest example a user would copy.

Each module has `load_decoder(path)` and, where there is a generator,
`load_generator(path)`. Adding a runtime: one module, one row.
"""

import importlib
from types import ModuleType


def load_runtime(name: str) -> ModuleType:
    """The module that runs artifacts with a runtime.

    Args:
        name: a key of `RUNTIMES`.

    Returns:
        module with `load_decoder` and perhaps `load_generator`.

    Raises:
        ImportError: if the runtime is not installed.
    """
    return importlib.import_module(f"export.runtimes.{RUNTIMES[name][0]}")


# module, the decoder's file, the generator's file
RUNTIMES = {
    "onnxruntime": ("python_onnxruntime", "decoder.onnx", "generator.onnx"),
    "onnx": ("python_onnx", "decoder.onnx", "generator.onnx"),
    "numpy": ("numpy_only", "decoder.onnx", "generator.onnx"),
    "openvino": ("python_openvino", "openvino/decoder.xml", "openvino/generator.xml"),
    "opencv": ("python_opencv", "decoder.onnx", "generator.onnx"),
    "tract": ("python_tract", "decoder.onnx", "generator.onnx"),
    "litert": ("python_litert", "decoder.tflite", "decoder.tflite"),
    "tensorflow": ("python_tensorflow", "saved_model", "saved_model"),
    "keras": ("python_keras", "decoder.keras", None),
    "c": ("c_gcc", "c", "c"),
    "node": ("node_onnxruntime", "decoder.onnx", "generator.onnx"),
    "chromium": ("web_chromium", "web", "web"),
}
