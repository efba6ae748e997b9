"""Paths and names at which nothing can be read or written, and some that look so."""

from pathlib import Path

from tests.faults.array_bytes import npy
from tests.faults.cases import Case, file, files, linked, right, special

NAMES = [
    Case("no such file", lambda folder: folder / "data.npz", 3, ("no such file",)),
    Case("a text file", file("data.txt", b"words"), 3, ("not a kind of data",)),
    Case("a folder of other files", files(), 3, ("no images; expected",)),
    Case("a name of 300 characters", lambda folder: 300 * "a", 2, ("Unknown dataset",)),
    Case("a path of 300 characters", lambda f: f"./{300 * 'a'}", 2, ("too long",)),
    Case("a path of 9,000", lambda f: 4500 * "a/", 2, ("too long",)),
    Case("NUL", lambda folder: "a\0b", 2, ("Unknown dataset",)),
    Case("NUL in a path", lambda folder: "./a\0b", 2, ("no path can have",)),
    Case("half a surrogate pair", lambda folder: "./\ud800", 2, ("no path can have",)),
    Case("a device", lambda folder: "/dev/zero", 3, ("not a kind of data",)),
    Case("a misspelt name", lambda folder: "digit", 2, ("'digits'",)),
    right("bytes that are no UTF-8", file("\udcff\u2603.npy", npy())),
]


def elsewhere(folder):
    """A run folder that lies somewhere else."""
    (folder / "there").mkdir()
    return linked("there")(folder)


def planted(folder):
    """A picture's path, where a link waits for its temporary name."""
    (folder / "mine").write_text("mine")
    linked("mine", ".tmp-a.png")(folder)
    return folder / "a.png"


OUTPUTS = [
    Case("a file", file("run", b""), 5, ("not a folder",)),
    Case("below a file", lambda f: file("run", b"")(f) / "a/b", 5, ("not a folder",)),
    Case("a link to nothing", linked("nowhere"), 5, ("not a folder",)),
    Case("a link to itself", linked("run"), 5, ("not a folder",)),
    Case("what the system keeps", lambda f: Path("/proc/a/b"), 5, ("cannot be",)),
    Case(
        "a folder of other files", lambda f: file("a", b"")(f).parent, 5, ("not a run",)
    ),
    Case("NUL", lambda f: f / "a\0b", 2, ("no path can have",)),
    Case("half a surrogate pair", lambda f: f / "\ud800", 2, ("no path can have",)),
    Case("300 characters", lambda f: f / (300 * "a"), 2, ("too long",)),
    Case("300 below what is not there", lambda f: f / "a" / (300 * "a"), 2, ("too",)),
    Case("250 characters", lambda f: f / (250 * "a"), 2, ("too long",)),
    Case("9,000 characters", lambda f: f / (4500 * "a/"), 2, ("too long",)),
    right("240 characters", lambda f: f / (240 * "a")),
    right("folders that do not exist", lambda f: f / "a/b/c"),
    right("up and down", lambda f: f / "a/../b/../run"),
    right("spaces, quotes, line ends", lambda f: f / " '\"\n\t;*? "),
    right("letters of all kinds", lambda f: f / "\u2603\U0001f600\u0301\udcff"),
    right("a link to a folder", elsewhere),
]

PICTURES = [
    Case("a folder", special("a.png", Path.mkdir, whole=True), 5, ("is a folder",)),
    Case("in no folder", lambda f: f / "a/a.png", 2, ("no folder",)),
    Case("below a file", lambda f: file("a", b"")(f) / "a.png", 2, ("no folder",)),
    Case("NUL", lambda f: f / "\0.png", 2, ("no path can have",)),
    Case("300 characters", lambda f: f / f"{300 * 'a'}.png", 2, ("too long",)),
    right("a link under its temporary name", planted, None),
    right("a link", linked("nowhere", "a.png"), None),
]
