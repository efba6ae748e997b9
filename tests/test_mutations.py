"""The mutations are still of this code; `python -m tests.mutations` makes them."""

import pytest

from tests.mutations import MUTATIONS
from tests.readme_tables import ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.right)
def test_a_mutation_changes_one_place_and_names_its_tests(mutation):
    text = (ROOT / mutation.path).read_text(encoding="utf-8")
    assert text.count(mutation.right) == 1
    assert mutation.wrong != mutation.right
    compile(text.replace(mutation.right, mutation.wrong), mutation.path, "exec")
    assert all((ROOT / name).exists() for name in mutation.tests.split())
