import importlib

import numpy as np
import pytest

from keras_vae.data.sources import load
from tests.faults import inputs
from tests.faults.array_bytes import npy
from tests.faults.cases import sparse
from tests.faults.commands import Outcome
from tests.faults.memory import peak, reset_peak
from tests.faults.tally import Tally


@pytest.mark.parametrize("what", inputs.GROUPS)
def test_every_input_ends_in_one_sentence_or_the_right_result(what, tmp_path):
    use, cases = inputs.GROUPS[what]
    tally = Tally(what, "")
    for number, case in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        tally.count(inputs.failure_in(case, use, folder))
    tally.check()


def test_a_command_ends_in_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    def here(module, *argv):
        if module == "export":
            module = "export.__main__"
        return Outcome(importlib.import_module(module).main(argv), *capsys.readouterr())

    tally = Tally("", "")
    for number, command in enumerate(inputs.FAULTY):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        tally.count(inputs.failure_of_command(command, folder, here))
    tally.check()


@pytest.mark.parametrize("kind", ["u1", "?", "f4"])
def test_reading_takes_at_most_twice_the_memory_of_the_images(kind, tmp_path):
    size, kind = 2**27, np.dtype(kind)
    header = npy(descr=kind.str, shape=(size // kind.itemsize >> 12, 64, 64))[:128]
    path = sparse("data.npy", header, size)(tmp_path)
    reset_peak()
    before = peak()
    load(path)
    assert peak() - before < 2.4 * size  # far from a third; a long process has more
