"""Where in its data a training begins, or goes on."""

from typing import NamedTuple


class Start(NamedTuple):
    """Where a training begins, or goes on.

    Attributes:
        epoch: int, epochs that are done.
        step: int, steps of the next one that are done.
        epoch_steps: int, steps of an epoch, where they are not the data's.
        resumed: Whether a training that was cut did them.
    """

    epoch: int = 0
    step: int = 0
    epoch_steps: int | None = None
    resumed: bool = False

    def batches(self, steps: int) -> int:
        """How many batches have been taken of data with `steps` in a pass."""
        return self.epoch * (self.epoch_steps or steps) + self.step


FROM_THE_FIRST = Start()
