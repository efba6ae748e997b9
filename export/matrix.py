"""`python -m export matrix`: every runtime against Keras on some models, in one table.

Untrained weights serve as well as trained ones: what is compared is arithmetic.
"""

import contextlib
import tempfile
from pathlib import Path

from export import export_decoder
from export.formats import FORMATS
from export.runtimes import RUNTIMES
from export.verify import Check, verify

# options of a training run
MODELS = {
    "classic MLP": {},
    "convolutional": {"network": "conv", "hidden": (32, 64), "latent_dim": 20},
    "plain convolutions": {"network": "plain_conv"},
    "conditional": {"conditional": True},
    "two levels, flow": {"latent_dim": (20, 20), "prior": "flow"},
    "ladder": {"network": "ladder"},
}


def parity_matrix() -> dict[str, list[Check]]:
    """Exports each of `MODELS` to every format, and checks them in every runtime.

    Returns:
        dict from the model's name to what each runtime says.

    Raises:
        KerasVAEError: if an export fails or a runtime gives other images or latents.
    """
    from keras_vae.config import TrainConfig
    from keras_vae.runs.build import build_vae

    checks = {}
    for name, options in MODELS.items():
        vae = build_vae(TrainConfig(**options), (28, 28, 1), 10, num_images=1)
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / "export"
            for format_name in FORMATS:
                with contextlib.suppress(ImportError):  # its runtime is not installed
                    export_decoder(vae, bundle, [format_name])
            checks[name] = verify(bundle, trust=True)
    return checks


def table(checks: dict[str, list[Check]]) -> str:
    """The matrix as a Markdown table: a runtime's error, and whether z is identical."""
    lines = ["| runtime | artifact | " + " | ".join(checks) + " |"]
    lines.append("|---" * (2 + len(checks)) + "|")
    for runtime, row in RUNTIMES.items():
        cells = [
            _cell([c for c in some if c.runtime == runtime]) for some in checks.values()
        ]
        if any(cells):
            cells = [runtime, row.artifact, *cells]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(checks):
    """The largest error of a runtime in all artifacts of its format."""
    errors = [check.error for check in checks if check.error is not None]
    if not errors:
        return "not installed" if checks else ""
    identical = all(check.latents is not False for check in checks)
    drawn = any(check.latents is not None for check in checks)
    return f"{max(errors):.1e}" + (", z identical" if drawn and identical else "")
