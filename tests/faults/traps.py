"""What a hostile file is after: a file that it must not read, or must not make.

Linux says when a file is opened (inotify), and how much memory was in use at most.
"""

import ctypes
import os
import select
from pathlib import Path
from typing import Any

IN_OPEN = 0x20
MOST = 100e6  # bytes that a hostile file may cost
LIBC = ctypes.CDLL(None, use_errno=True)


class Trap:
    """Two paths for a hostile file to name.

    Args:
        folder: Existing folder.

    Attributes:
        secret: A file that nobody may open.
        made: A path where nobody may make anything.
    """

    def __init__(self, folder: Path):
        self.secret, self.made = folder / "secret", folder / "made"
        self.secret.write_bytes(b"secret" * 1000)

    def sprung(self, function, *args) -> tuple[str | None, Any]:
        """What a call did that it must not do, if anything; and what it returned."""
        watch = LIBC.inotify_init1(os.O_NONBLOCK)
        LIBC.inotify_add_watch(watch, os.fsencode(self.secret), IN_OPEN)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _status("VmRSS")
        result = function(*args)
        grown = _status("VmHWM") - before
        opened = bool(select.select([watch], [], [], 0)[0])
        os.close(watch)
        if opened:
            return f"{self.secret} was opened", result
        if self.made.exists():
            self.made.unlink()
            return f"{self.made} was made", result
        if grown > MOST:
            return f"{grown / 1e6:,.0f} MB were allocated", result
        return None, result


def _status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(line.split()[1])
