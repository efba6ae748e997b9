import subprocess
import sys

import pytest

from tests.faults import fuzz
from tests.faults.commands import ROOT


@pytest.mark.parametrize("target", fuzz.TARGETS, ids=lambda target: target.what)
def test_whatever_is_read_ends_in_one_sentence_or_the_right_result(target):
    fuzz.tried(target, 200).check()


def test_no_target_needs_tensorflow():
    code = (
        "import sys\n"
        "from tests.faults.fuzz import TARGETS, tried\n"
        "for target in TARGETS:\n"
        "    tried(target, 3)\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0
