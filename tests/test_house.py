"""The rules of the house, read from the source: who imports whom, and how large it is.

A package's module is known here by its room: the folder it lies in, or its own name
where it lies in none.
"""

import ast
import functools
import graphlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_LINES = 350

# A room imports of the levels below its own, and of itself.
LEVELS = (
    ("errors",),
    ("cluster", "earlier_configs", "files", "options", "replicas", "run_paths"),
    ("cli", "data", "distributions", "networks", "objectives", "pictures"),
    ("flags", "parts", "testing", "training"),
    ("recipes", "run_options"),
    ("config",),
    ("defaults", "model"),
    ("runs", "metrics"),
    ("exploring",),
    (
        "train",
        "evaluate",
        "generate",
        "explore",
        "refit",
        "train_extractor",
        "__main__",
    ),
    ("export",),
)
COMMANDS = LEVELS[-2]
# ... and these two, though lower, stay apart from what they are handed.
STRANGERS = {"training": ("distributions", "objectives", "networks", "config")}

# A command answers --help, and a reader reads, without TensorFlow.
LIGHT = (
    "keras_vae.cli",
    "keras_vae.cluster",
    "keras_vae.config",
    "keras_vae.defaults",
    "keras_vae.earlier_configs",
    "keras_vae.errors",
    "keras_vae.files",
    "keras_vae.flags",
    "keras_vae.options",
    "keras_vae.recipes",
    "keras_vae.run_options",
    "keras_vae.run_paths",
    *(f"keras_vae.{command}" for command in COMMANDS),
    "keras_vae.data.array_files",
    "keras_vae.data.binarization",
    "keras_vae.data.budget",
    "keras_vae.data.decoding",
    "keras_vae.data.dividing",
    "keras_vae.data.folder_listing",
    "keras_vae.data.image_files",
    "keras_vae.data.image_folders",
    "keras_vae.data.images",
    "keras_vae.data.row_file",
    "keras_vae.data.sources",
    "keras_vae.data.splits",
    "keras_vae.data.sprites",
    "keras_vae.data.stored_split",
    "keras_vae.exploring.paths",
    "keras_vae.metrics.disentanglement",
    "keras_vae.metrics.factors",
    "keras_vae.metrics.interventions",
    "keras_vae.metrics.distances",
    "keras_vae.metrics.features",
    "keras_vae.metrics.neighbors",
    "keras_vae.networks.shapes",
    "keras_vae.pictures.charts",
    "keras_vae.pictures.grids",
    "keras_vae.pictures.tables",
    "export.__main__",
)


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(
    path for folder in ("keras_vae", "export") for path in (ROOT / folder).rglob("*.py")
)
MODULES = {name_of(path): path for path in FILES}
every_file = pytest.mark.parametrize(
    "path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix()
)


def room_of(module):
    package, *rest = module.split(".")
    return package if package == "export" or not rest else rest[0]


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(module):
    """Pairs: a module of ours that is imported, and whether only inside a function."""
    found = set()

    def visit(node, lazy):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update((alias.name, lazy) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add((inner if inner in MODULES else node.module, lazy))
        lazy = lazy or isinstance(node, ast.FunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, lazy)

    visit(tree_of(MODULES[module]), False)
    return {(name, lazy) for name, lazy in found if name in MODULES}


def test_no_module_imports_itself_by_way_of_others():
    graph = {
        module: {name for name, lazy in imports_of(module) if not lazy}
        for module in MODULES
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, with the cycle


def test_every_room_has_its_level():
    rooms = {room_of(module) for module in MODULES} - {"keras_vae"}
    assert rooms == {room for level in LEVELS for room in level}


def test_arrows_between_rooms_point_one_way():
    level_of = {room: k for k, level in enumerate(LEVELS) for room in level}
    wrong = []
    for module in MODULES:
        room = room_of(module)
        for name, lazy in imports_of(module):
            other = room_of(name)
            if other == room or other == "keras_vae":  # its version
                continue
            if other == "export":  # `train` calls it as its last step
                allowed = room in COMMANDS and lazy
            else:
                allowed = level_of[other] < level_of[room]
                allowed &= other not in STRANGERS.get(room, ())
            if not allowed:
                wrong.append(f"{module} imports {name}")
    assert not wrong


def test_packages_and_readers_are_free_of_tensorflow():
    packages = [name for name in MODULES if MODULES[name].stem == "__init__"]
    code = (
        "import importlib, json, sys\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'sklearn'}\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    importlib.import_module(name)\n"
        "    if found := heavy & {*sys.modules}:\n"
        "        sys.exit(f'{name} imports {found}')\n"
    )
    names = json.dumps([*packages, *LIGHT])
    done = subprocess.run(
        [sys.executable, "-c", code, names], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@every_file
def test_a_module_has_one_idea_and_few_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    assert path.stem not in ("utils", "base", "common", "helpers")


TESTS = sorted((ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_a_test_module_has_few_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@every_file
def test_nothing_is_recognized_by_its_attributes_or_its_name(path):
    for node in ast.walk(tree_of(path)):
        function = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        wrong = function == "hasattr"
        if function == "getattr" or isinstance(node, ast.Compare):
            wrong |= any(
                isinstance(part, ast.Attribute) and part.attr == "__name__"
                for part in ast.walk(node)
            )
        assert not wrong, f"line {node.lineno}: {ast.unparse(node)}"
