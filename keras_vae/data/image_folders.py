"""A folder of image files -> splits with labels.

Three ways to lay it out are known: the images themselves; a subfolder for each class,
at any depth below it; or subfolders `train`, `validation` and `test` that are one of
these.
"""

import collections
import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from keras_vae.data.decoding import ImageFiles, refusal, undecodable
from keras_vae.data.folder_listing import Layout, Listing, arranged, listed
from keras_vae.data.image_files import (
    SUFFIXES,
    Header,
    ImageOptions,
    read_header,
    without_warnings,
)
from keras_vae.data.images import RawSource
from keras_vae.data.row_file import RowFile, found_rows, write_rows
from keras_vae.data.stored_split import StoredSplit
from keras_vae.errors import DataError, on_one_line

SHOWN = 12  # classes, files and endings that are named one by one


def read_folder(folder: Path, options: ImageOptions) -> RawSource:
    """Reads a folder of images.

    Args:
        folder: The folder.
        options: How its images become arrays of one shape, and where they are kept.

    Returns:
        Its splits, the names of its classes, and what was found, in sentences.

    Raises:
        DataError: If there are no images, images of several sizes without an
            `image_size`, files that cannot be read without `skip_broken`, or folders
            that are no layout.
        OutputError: If the cache cannot be written.
    """
    listing = listed(folder)
    with without_warnings():
        if options.cache is None:
            contents, store = _opened(folder, listing, options)
        else:
            contents, store = _cached(folder, listing, options)
    broken = contents["broken"]
    unread = set(broken)
    layout = arranged(folder, [name for name in listing.images if name not in unread])
    splits = {
        split: StoredSplit(store, rows, layout.labels[split])
        for split, rows in layout.rows.items()
    }
    said = [
        *_said_of_classes(layout),
        contents["said"],
        *_said_of_the_rest(listing, broken),
    ]
    return RawSource(
        folder.resolve().name,
        f"Images from {folder}",
        splits,
        layout.class_names,
        " ".join(said),
    )


def _opened(folder, listing, options) -> tuple[dict[str, Any], ImageFiles]:
    """What opening the files tells, and a store of those that are good.

    Returns:
        `broken`, names; `said`, a sentence; and the store.
    """
    headers, broken = _headers(folder, listing, options)
    if broken or options.skip_broken:
        to_try = dataclasses.replace(options, channels=options.channels or 3)
        broken |= undecodable(folder, list(headers), to_try)
    if broken and not options.skip_broken:
        raise refusal(broken, len(listing.images) + len(listing.unusable))
    headers = {name: found for name, found in headers.items() if name not in broken}
    if not headers:
        raise DataError(
            f"{folder}: none of its {len(broken)} images can be read."
            if broken
            else f"{folder}: no images; expected files that end in {' '.join(SUFFIXES)}"
            ", IDX files, or a version of a TFDS data set."
        )
    digest = _digest(folder, listing, options)
    options, shape = _settled(folder, headers, options)
    contents = {"broken": sorted(broken), "said": _said_of_files(headers, options)}
    return contents, ImageFiles(
        folder, list(headers), options, shape, digest, checked=options.skip_broken
    )


def _cached(folder, listing, options) -> tuple[dict[str, Any], RowFile]:
    """The same from the cache, which is filled where it does not have it."""
    digest = _digest(folder, listing, options)
    path = Path(options.cache) / f"{digest[:32]}.images"
    if (rows := found_rows(path, digest)) is None:
        contents, files = _opened(folder, listing, options)
        try:
            write_rows(path, contents | {"made_from": digest}, files)
        except DataError:
            files.check()  # says how many there are
            raise
        rows = RowFile(path)
    return rows.about, rows


def _digest(folder, listing, options):
    """Of all that decides about the pixels: changes where a file does."""
    conversion = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if field.name not in ("memory_budget", "cache")
    }
    files = []
    for name in listing.images:
        about = os.stat(folder / name)
        files.append((name, about.st_size, about.st_mtime_ns))
    parts = [conversion, files, sorted(listing.unusable), PIL.__version__]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _headers(folder, listing, options):
    """The header of each image, and what is wrong with the others, by name."""
    headers = {}
    broken = {
        name: DataError(f"{on_one_line(folder / name)}: {what}.")
        for name, what in listing.unusable.items()
    }
    for name in listing.images:
        try:
            headers[name] = read_header(folder / name, options)
        except DataError as error:
            broken[name] = error
    return headers, broken


def _settled(folder, headers, options):
    """The options with their channels, and the shape of every image."""
    channels = options.channels or (1 if all(h.grey for h in headers.values()) else 3)
    first, size = next(iter(headers)), options.image_size
    if size is None:
        size = headers[first].size
        for name, header in headers.items():
            if header.size != size:
                raise DataError(
                    f"{on_one_line(folder / first)} has {_sides(size)} pixels and "
                    f"{on_one_line(folder / name)} {_sides(header.size)}; pass "
                    "--image-size."
                )
    return dataclasses.replace(options, channels=channels), (*size, channels)


def _said_of_classes(layout: Layout) -> list[str]:
    if layout.class_names is None:
        return ["No classes."]
    parts = [labels for labels in layout.labels.values() if labels is not None]
    labels = np.concatenate(parts)  # of all splits
    counts = np.bincount(labels).tolist()
    pairs = list(zip(layout.class_names, counts, strict=True))
    classes = f"{len(pairs):,} class{'es' if len(pairs) > 1 else ''}"
    if len(pairs) > SHOWN:
        said = [f"{classes} of {min(counts):,} to {max(counts):,} images."]
    else:
        said = [f"{classes}: {', '.join(f'{name} {n:,}' for name, n in pairs)}."]
    if single := [name for name, count in pairs if count == 1]:
        said.append(f"A single image, in one split alone: {_few(single)}.")
    return said


def _said_of_files(headers: dict[str, Header], options: ImageOptions) -> str:
    sizes = sorted({header.size for header in headers.values()})
    said = f"Files of {_sides(sizes[0])}"
    if len(sizes) > 1:
        said += f" to {_sides(sizes[-1])}"
    said += " pixels"
    if options.image_size is not None and sizes != [options.image_size]:
        said += f", brought to {_sides(options.image_size)} ({options.resize})"
    traits = collections.Counter(
        t for header in headers.values() for t in header.traits
    )
    grey = sum(header.grey for header in headers.values())
    traits["grey"] = grey if options.channels == 3 else 0
    traits["color"] = len(headers) - grey if options.channels == 1 else 0
    ways = {
        "transparent": f" (over {options.background})",
        "animated": " (first frame)",
        "grey": " (as color)",
        "color": " (as grey)",
    }
    converted = [f"{n:,} {t}{ways.get(t, '')}" for t, n in traits.items() if n]
    return f"{said}{'; ' if converted else ''}{', '.join(converted)}."


def _said_of_the_rest(listing: Listing, broken: list[str]) -> list[str]:
    said = []
    if broken:
        said.append(f"{len(broken):,} broken, left out: {_few(broken)}.")
    if number := listing.others.total():
        endings = _few(sorted(ending or "no ending" for ending in listing.others))
        said.append(f"{number:,} other files ({endings}).")
    return said


def _few(names):
    """Some names, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(map(on_one_line, names[:SHOWN])) + (
        f" and {more:,} more" if more > 0 else ""
    )


def _sides(size):
    return f"{size[0]}x{size[1]}"
