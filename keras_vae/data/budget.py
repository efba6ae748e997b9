"""How much memory there is, and how much of it images may take."""

import math
import os
from pathlib import Path

SHARE = 4  # of the machine's memory, a quarter is for images where nothing else is said
GIGA = 1e9

# where Linux keeps the limit of a container, in its two ways
LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def machine_bytes() -> float:
    """The machine's memory, or the container's; infinity where that cannot be told."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        found = math.inf
    for limit in LIMITS:
        try:
            found = min(found, int(Path(limit).read_text()))
        except (OSError, ValueError):  # there is none, or it is "max"
            pass
    return found


def budget_bytes(memory_budget: float | None) -> float:
    """The memory that images may take.

    Args:
        memory_budget: In gigabytes of 10^9 bytes; None for a quarter of the machine's.

    Example:
        >>> budget_bytes(1.5)
        1500000000.0
    """
    if memory_budget is None:
        return machine_bytes() / SHARE
    return memory_budget * GIGA
