"""A few of the numbers that go wrong, in each test run."""

import pytest

from tests.faults import numerics


def check(tallies):
    for tally in tallies:
        tally.check()


@pytest.mark.filterwarnings("ignore:.*ran out of data")
def test_pixels_that_are_none_never_train():
    check(numerics.pixels(steps=(3,)))


def test_a_learning_rate_that_is_too_high_ends_at_its_step():
    check(numerics.rates(every=False))


def test_a_log_variance_of_any_size_is_survived():
    check(numerics.log_variances(every=False))


def test_a_step_in_half_precision_is_one_of_float32():
    check(numerics.half_precision(every=False))


def test_no_form_of_the_data_adds_or_loses_a_step():
    check(numerics.cardinality(steps=(7,), jit_compile=(False,)))
