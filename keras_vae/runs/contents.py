"""What a run folder is known to hold: nothing else in it is ever removed."""

import json
import re
from pathlib import Path

MARKER = "keras_vae.partial"  # a file in an export's staging folder
MOVING = ".moving"  # in `export`: a staging folder whose files are on their way
KNOWN = re.compile(  # paths in a run folder; those in export/ are its manifest's
    r"\.DS_Store|checkpoints|samples|tensorboard|export"
    r"|(\.tmp-)?(config\.json|environment\.json|history\.csv|metrics\.json)"
    r"|(\.tmp-)?(model\.keras|SHA256SUMS)"
    r"|checkpoints/(\.tmp-)?(best|epoch-\d+-step-\d+)\.safetensors"
    r"|checkpoints/(\.tmp-)?(last|best)\.weights\.h5"  # of runs of before
    r"|samples/(\.tmp-)?(inputs|epoch-\d+-(generated|reconstructed))\.png"
    r"|tensorboard/(train|validation|samples)(/events\.out\.tfevents\.[^/]+)?"
    r"|(samples|checkpoints|tensorboard|export)/\.DS_Store"
)


def known_paths(run: Path) -> list[Path]:
    """The paths in a run folder that are a run's, config.json last.

    Args:
        run: The folder; it need not exist.

    Returns:
        Files, folders and links, those in a folder before it.
    """
    exported = _exported(run / "export")
    # staging folders of exports that were killed; see `export.publish`
    staging = (f".export.partial-*/{MARKER}", f"export/{MOVING}/{MARKER}")
    staged = {mark.parent for name in staging for mark in run.glob(name)}
    known = []
    for path in run.rglob("*"):
        name = path.relative_to(run).as_posix()
        if KNOWN.fullmatch(name) or path in exported or staged & {path, *path.parents}:
            known.append(path)
    return sorted(
        known, key=lambda path: (path != run / "config.json", path), reverse=True
    )


def _exported(export):
    """What is in `export` of the files of its manifest, and their folders."""
    try:
        text = (export / "manifest.json").read_text(encoding="utf-8")
        manifest = json.loads(text)
        artifacts = manifest["artifacts"]
        names = {"manifest.json", *manifest["files"]}
        names.update(*(entry["files"] for entry in artifacts.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()

    def listed(path):
        name = path.relative_to(export).as_posix()
        folder = path.is_dir() and not path.is_symlink()
        return name in names or (folder and name.split("/")[0] in artifacts)

    return {path for path in export.rglob("*") if listed(path)}
