import importlib

import pytest

from tests.faults import inputs
from tests.faults.commands import Outcome
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
