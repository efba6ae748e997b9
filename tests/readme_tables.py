"""The README's tables that are read off the code: `python -m tests.readme_tables`.

Each stands between `<!-- table NAME -->` and `<!-- end -->`. A test says when one is
out of date; the command writes them anew.
"""

import re
from pathlib import Path

from export.formats import table as formats
from keras_vae.data.sources import SOURCES
from keras_vae.flags import AXES, COMPONENTS, FLAGS, as_flags
from keras_vae.options import choices
from keras_vae.recipes import RECIPES

README = Path(__file__).parent.parent / "README.md"


def sources() -> str:
    """What `--dataset` takes: a row for each reader."""
    names = {}
    for name, reader in SOURCES.items():
        names.setdefault(reader, []).append("a path" if name == "PATH" else f"`{name}`")
    lines = ["| value | images |", "|---|---|"]
    for reader, values in names.items():
        what = reader.__doc__.split("\n\n")[0].strip().replace("\n    ", " ")
        lines.append(f"| {', '.join(values)} | {what} |")
    return "\n".join(lines) + "\n"


def options() -> str:
    """The parts of a model, and the options of each."""
    lines = ["| option | choices | their options |", "|---|---|---|"]
    for axis, table in AXES.items():
        names = ", ".join(f"`{name}`" for name in choices(table))
        flags = [name for name, flag in FLAGS.items() if flag.axis == axis]
        flags = [f"`--{name.rstrip('_').replace('_', '-')}`" for name in flags]
        flags = ", ".join(flags) if axis in COMPONENTS else ""
        lines.append(f"| `--{axis}` | {names} | {flags} |")
    return "\n".join(lines) + "\n"


def recipes() -> str:
    """What `--recipe` takes, and the flags that each stands for."""
    lines = ["| recipe | what it trains | its options |", "|---|---|---|"]
    for name, recipe in RECIPES.items():
        flags = as_flags(recipe.options)
        lines.append(f"| `{name}` | {recipe.about} | `{flags}` |")
    return "\n".join(lines) + "\n"


TABLES = {
    "sources": sources,
    "options": options,
    "recipes": recipes,
    "formats": formats,
}


def updated(text: str) -> str:
    """A README with its tables as the code is now."""
    for name, table in TABLES.items():
        pattern = rf"(<!-- table {name} -->\n).*?(<!-- end -->)"
        text, count = re.subn(
            pattern,
            lambda match, new=table: match[1] + new() + match[2],
            text,
            flags=re.S,
        )
        if count != 1:
            raise ValueError(f"README.md has {count} places for the table {name}.")
    return text


if __name__ == "__main__":
    README.write_text(updated(README.read_text("utf-8")), "utf-8")
