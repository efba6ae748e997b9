"""What breaks, and what must happen then.

A module here is a family of faults: it has `full(seed)`, which tries them in number and
returns tallies, and a `test_<module>.py` beside it that tries a few of the same in each
test run. `python -m tests.faults` runs the full set and prints the README's table.
"""
