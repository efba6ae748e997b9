"""`model.keras`: written with its checksum, read as plain arrays and nothing else.

The checksum is in `SHA256SUMS` beside it, for `sha256sum -c` to read, too. A run of a
version before has none.
"""

import io
import math
import re
import warnings
import zipfile
from pathlib import Path

import h5py

from keras_vae.errors import ModelError, first_line
from keras_vae.files import replaced, sha256_of, write_text
from keras_vae.model import VAE
from keras_vae.runs.folder import RunFolder

WEIGHTS = "model.weights.h5"  # in the archive
COPIES = 8  # of a weight that a file may hold: itself, and an optimizer's
OVERHEAD = 2**24  # bytes of a file beside its arrays


def save_model(vae: VAE, run: RunFolder) -> None:
    """Writes `model.keras` and its checksum; after a kill, too, they agree.

    While the file is replaced, SHA256SUMS has two lines for it: the old and the new.

    Args:
        vae: The model.
        run: Where to.

    Raises:
        OutputError: If it cannot be written.
    """
    accepted = _accepted(run)
    if not accepted and run.model.is_file():  # of a version before
        accepted = [sha256_of(run.model)]
    with replaced(run.model) as temporary:
        vae.save(temporary)
        digest = sha256_of(temporary)
        _write_sums(run, [*accepted, digest])
    _write_sums(run, [digest])


def load_model(vae: VAE, run: RunFolder) -> None:
    """Fills a model with the arrays of `model.keras`.

    No code in the file is run, nothing else is opened, and no more is allocated than
    the model needs.

    Args:
        vae: The model as `config.json` describes it. After an error it is to be thrown
            away.
        run: Where the file is.

    Raises:
        ModelError: If the file is damaged, or is not what this program writes.
    """
    size = sum(4 * math.prod(variable.shape) for variable in vae.variables)
    try:
        if run.checksums.exists() and sha256_of(run.model) not in _accepted(run):
            raise ValueError(f"its SHA-256 is not the one in {run.checksums.name}")
        _check_arrays(run.model, COPIES * size + OVERHEAD)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # layers without weights
            vae.load_weights(run.model)
    except Exception as error:  # a hostile file raises almost anything
        reason = first_line(error).split(". ")[0].rstrip(".")
        raise ModelError(
            f"{run.model} does not hold the weights that config.json describes: "
            f"{reason}."
        ) from error


def _accepted(run):
    """The digests that SHA256SUMS has for `model.keras`."""
    if not run.checksums.is_file():
        return []
    text = run.checksums.read_text(encoding="utf-8", errors="replace")
    pattern = rf"^([0-9a-f]{{64}}) [ *]{re.escape(run.model.name)}$"
    return re.findall(pattern, text, re.MULTILINE)


def _write_sums(run, digests):
    lines = (f"{digest}  {run.model.name}\n" for digest in dict.fromkeys(digests))
    write_text(run.checksums, "".join(lines))


def _check_arrays(path: Path, most: int) -> None:
    """Raises ValueError unless the weights are a tree of arrays in the file itself."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(WEIGHTS)
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > most:
            raise ValueError("its weights are compressed, or larger than the model's")
        data = archive.read(member)
    with h5py.File(io.BytesIO(data), "r") as file:
        groups, seen = [file], set()
        while groups:
            group = groups.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ValueError("it holds a link to something else")
                part = group[name]
                address = h5py.h5o.get_info(part.id).addr
                if address in seen:
                    raise ValueError("it holds the same object twice")
                seen.add(address)
                if isinstance(part, h5py.Group):
                    groups.append(part)
                elif not _is_plain(part, len(data)):
                    raise ValueError("it holds something else than plain arrays")


def _is_plain(part, size):
    """Whether it is an array of numbers that are all there, uncompressed, in place."""
    if not isinstance(part, h5py.Dataset) or part.shape is None:
        return False
    storage = part.id.get_create_plist()
    return (
        part.dtype.kind in "biuf"
        and math.prod(part.shape) * part.dtype.itemsize <= size
        and storage.get_layout() != h5py.h5d.VIRTUAL
        and storage.get_external_count() == 0
        and storage.get_nfilters() == 0
        and not part.attrs
    )
