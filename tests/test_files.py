import errno
import functools
import os

import pytest

from keras_vae.errors import OutputError
from keras_vae.files import check_folder, replaced, write_text


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replaced(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_replaces_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".tmp-a.txt").symlink_to("mine")
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "a.txt").is_symlink()


def test_a_folder_that_is_read_only_is_refused(tmp_path, monkeypatch):
    check_folder(tmp_path / "a" / "b")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(
        OutputError, match=f"cannot be written, {tmp_path} is read-only"
    ):
        check_folder(tmp_path / "a" / "b")


@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, monkeypatch, call):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(call, full)
    with pytest.raises(OutputError, match=r"a.txt cannot be written \(No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_folder_is_flushed_after_the_rename(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        call = functools.partial(calls.append, name)
        monkeypatch.setattr(f"os.{name}", lambda *_, call=call: call())
    write_text(tmp_path / "a.txt", "new")
    assert calls == ["fsync", "replace", "fsync"]
