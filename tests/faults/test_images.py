import pytest

from keras_vae.train import main
from tests.faults import image_cases, images
from tests.faults.commands import Outcome, failure_of
from tests.faults.tally import Tally


@pytest.mark.parametrize("what", images.GROUPS)
def test_every_folder_ends_in_one_sentence_or_the_right_images(what, tmp_path):
    tally = Tally(what, "")
    for number, case in enumerate(images.GROUPS[what]):
        folder = tmp_path / str(number)
        folder.mkdir()
        tally.count(images.failures_in(case, folder))
    tally.check()


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_command_ends_in_one_line_and_writes_nothing(number, tmp_path, capsys):
    case = image_cases.TOO_LARGE[:4][number]
    options = ["--dataset", str(case.make(tmp_path)), "--output", str(tmp_path / "run")]
    status = main(options)
    assert failure_of(Outcome(status, *capsys.readouterr()), 3, *case.words) is None
    assert not (tmp_path / "run").exists()
