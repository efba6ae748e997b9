"""What every run has had since a format of config.json, and older files lack."""

from typing import Any

# For each format after the first, the options that it added, with the value that a file
# without them means. So none is ever taken from today's defaults.
ADDED: tuple[dict[str, Any], ...] = (
    {},
    {
        "resume": False,
        "elsewhere": False,
        "checkpoint_every": (1, "epochs"),
        "image_size": None,
        "resize": "crop",
        "channels": None,
        "background": "white",
        "max_megapixels": 16,
        "skip_broken": False,
        "memory_budget": None,
        "cache": None,
    },
    {
        "learning_rate_warmup": 0.0,
        "clip_norm": None,
        "ema": None,
        "early_stopping": None,
        "tensorboard": False,
        "devices": 1,
        "worker_timeout": 300,
    },
    {"weight_decay": 0.0},
    {"skip_norm": None},
    {"pictures_every": 1},
)
