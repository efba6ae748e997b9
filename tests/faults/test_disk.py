import pytest

from tests.faults import disk


@pytest.mark.parametrize("target", ["model.keras", "export keras", "generate"])
@pytest.mark.parametrize("kind", disk.DISKS)
def test_full_disk_is_named_and_leaves_the_old_files(target, kind, tmp_path):
    disk.written(target, kind, tmp_path, 3).check()
