"""The tables of README and guides that are read off the code.

`python -m tests.readme_tables` writes them anew, a test says when one is out of date.
Each stands between `<!-- table NAME -->` and `<!-- end -->`.
"""

import re
from pathlib import Path

from export.formats import table as formats
from keras_vae.data.sources import SOURCES
from keras_vae.flags import AXES, COMPONENTS, FLAGS, as_flags
from keras_vae.options import choices
from keras_vae.recipes import RECIPES

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
GUIDES = sorted(ROOT.glob(".github/guides/*.md"))


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


def pages() -> dict[Path, str]:
    """README and guides, with their tables as the code is now.

    Raises:
        ValueError: If a table does not stand in one place.
    """
    texts = {page: page.read_text("utf-8") for page in (README, *GUIDES)}
    for name, table in TABLES.items():
        pattern = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", re.S)
        places = [page for page, text in texts.items() for _ in pattern.findall(text)]
        if len(places) != 1:
            raise ValueError(f"The table {name} stands in {len(places)} places.")
        (page,) = places
        new = table()
        texts[page] = pattern.sub(lambda m, new=new: m[1] + new + m[2], texts[page])
    return texts


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, "utf-8")
