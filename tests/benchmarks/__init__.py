"""Speed and memory, measured by hand: `python -m tests.benchmarks.training --help`."""
