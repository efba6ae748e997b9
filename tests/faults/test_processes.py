import time

from tests.faults import processes


def test_process_has_tensorflow_loaded_and_ends_by_itself():
    code = "import sys; sys.exit('tensorflow' not in sys.modules)"
    process = processes.start(exec, code)
    assert not processes.kill_after(process, 60)
    assert process.exitcode == 0


def test_process_can_be_killed():
    assert processes.kill_after(processes.start(time.sleep, 60), 0.01)
