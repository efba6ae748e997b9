import pytest

from tests.faults import disk


@pytest.mark.parametrize("target", ["model.keras", "export keras", "generate"])
@pytest.mark.parametrize("kind", disk.DISKS)
def test_full_disk_is_named_and_leaves_the_old_files(target, kind, tmp_path):
    disk.written(target, kind, tmp_path, 3).check()


@pytest.mark.parametrize("kind", disk.DISKS)
def test_training_on_a_full_disk_goes_on_when_there_is_space(kind, tmp_path):
    disk.resumed(kind, tmp_path, 2).check()
