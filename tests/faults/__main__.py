"""`python -m tests.faults [NAME ...]`: the full set of faults, as the README's table.

Each family runs by itself; a failure is printed, and ends in exit status 1.
"""

import argparse
import importlib
import sys
import time

FAMILIES = (
    "kills",
    "inputs",
    "fuzz",
    "numerics",
    "images",
    "flips",
    "exports",
    "hostile",
    "disk",
)  # modules beside this one that have `full(seed)`


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("families", nargs="*", metavar="NAME", help=", ".join(FAMILIES))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    failures = []
    print("| fault | must happen | tried | failed |\n|---|---|---|---|", flush=True)
    for family in arguments.families or FAMILIES:
        start = time.perf_counter()
        for tally in importlib.import_module(f"tests.faults.{family}").full(
            arguments.seed
        ):
            note = f" ({tally.note})" if tally.note else ""
            print(
                f"| {tally.what} | {tally.must} | {tally.tried:,}{note} "
                f"| {len(tally.failures)} |",
                flush=True,
            )
            failures += [f"{tally.what}: {failure}" for failure in tally.failures]
        seconds = time.perf_counter() - start
        print(f"{family}: {seconds:.0f} s", file=sys.stderr)
    for failure in failures:
        print(failure, file=sys.stderr)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
