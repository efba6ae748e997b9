"""`python -m keras_vae.train_extractor`: features for `evaluate --samples`.

Those that the package ships were made by it; see `keras_vae/metrics/extractors/`.
"""

import sys
from pathlib import Path
from typing import Any

import tyro

from keras_vae.cli import command, conclude, start_tensorflow
from keras_vae.errors import OutputError, UsageError, number, to_type, whole_number
from keras_vae.files import check_file, replaced, sha256_of
from keras_vae.options import options

OPSET = 17


@options
class ExtractorConfig:
    """Train a small classifier whose features `evaluate --samples` compares images by.

    It learns the classes of a data set, and which damage was done to an image.

    Examples:
      python -m keras_vae.train_extractor digits.onnx --dataset digits --epochs 1
      python -m keras_vae.train_extractor pets.onnx --dataset pets/ --image-size 64 64
    """

    output: tyro.conf.Positional[Path]
    """The ONNX file to write."""
    dataset: str = "auto"
    """Labeled images, as for `keras_vae.train`."""
    image_size: tuple[int, int] | None = None
    """Of a folder of images: height and width."""
    epochs: int = 4
    """Passes over the training images."""
    damage_weight: float = 0.1
    """How much the damage counts beside the class."""
    seed: int = 0
    """The same seed gives the same file on the same CPU."""


def train(config: ExtractorConfig) -> None:
    """Trains, prints the held-out accuracy, and writes the extractor as ONNX.

    Args:
        config: The options.

    Raises:
        KerasVAEError: If the data or an option cannot be used.

    Example:
        >>> train(ExtractorConfig(Path("digits.onnx"), dataset="digits", epochs=1))
        5,000 MNIST digits ...
    """
    whole_number("epochs", config.epochs)
    number("damage_weight", config.damage_weight)
    whole_number("seed", config.seed, minimum=0, maximum=2**31 - 2)
    if config.output.suffix != ".onnx":
        raise UsageError(f"The output {config.output} must end in .onnx.")
    check_file(config.output)
    if config.output.exists():
        raise OutputError(
            f"The output {config.output} exists; choose another, or remove it."
        )
    start_tensorflow()
    import onnx
    import tensorflow as tf

    from export.to_onnx import convert
    from keras_vae.data.sources import load
    from keras_vae.metrics.extractor_training import train_extractor

    size: dict[str, Any] = (
        {} if config.image_size is None else {"image_size": config.image_size}
    )
    source = load(config.dataset, validation_images=0, **size)
    print(source.provenance)
    extractor, accuracy = train_extractor(
        source,
        epochs=config.epochs,
        damage_weight=config.damage_weight,
        seed=config.seed,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    signature = tf.TensorSpec((None, *source.image_shape), tf.float32, name="images")
    function = tf.function(
        lambda images: {"features": extractor(images)}, input_signature=[signature]
    )
    model = convert(function, "extractor", OPSET)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    facts = {"dataset": source.name, "num_images": len(source.train)}
    facts |= {"epochs": config.epochs, "seed": config.seed}
    facts |= {"damage_weight": config.damage_weight}
    facts |= {f"{name}_accuracy": f"{share:.4f}" for name, share in accuracy.items()}
    facts = {f"keras_vae.{name}": str(value) for name, value in facts.items()}
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model, full_check=True)
    with replaced(config.output) as temporary:
        onnx.save_model(model, temporary)
    use = to_type(
        "python -m keras_vae.evaluate RUN --samples --features", config.output
    )
    conclude(
        f"held-out accuracy: label {accuracy['label']:.4f}, damage "
        f"{accuracy['damage']:.4f}; {config.output}, {config.output.stat().st_size:,} "
        f"bytes, SHA-256 {sha256_of(config.output)}.",
        use,
    )


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(
        train, ExtractorConfig, argv, prog="python -m keras_vae.train_extractor"
    )


if __name__ == "__main__":
    sys.exit(main())
