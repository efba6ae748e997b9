"""Ctrl-C and SIGTERM, which wait until a step is done."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Noted:
    """The signal that came; 0 for none."""

    number: int = 0


@contextlib.contextmanager
def noted_signals(answer: str = "") -> Iterator[Noted]:
    """Notes the first Ctrl-C or SIGTERM; a second one acts at once, as before.

    In another thread than the main one, where Python allows no handlers, none is noted.

    Args:
        answer: What to print when it comes.

    Example:
        >>> with noted_signals() as noted:
        ...     noted.number
        0
    """
    noted = Noted()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = {}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number, frame):
        noted.number = number
        restore()
        if answer:
            print(answer, file=sys.stderr)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, note)
    try:
        yield noted
    finally:
        restore()
