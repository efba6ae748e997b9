"""How often a fault was tried, and how often not what should happen did."""

import dataclasses


@dataclasses.dataclass
class Tally:
    """One row of the table of faults.

    Args:
        what: The fault, in a few words.
        must: What must happen.
        tried: How often it was tried.
        failures: A sentence for each time that something else happened.
        note: More figures, e.g. how many were noticed and how many changed nothing.
    """

    what: str
    must: str
    tried: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    note: str = ""

    def count(self, failure: str | None) -> None:
        """Adds a try; `failure` says what went wrong, if anything did."""
        self.tried += 1
        if failure:
            self.failures.append(failure)

    def check(self) -> None:
        """Fails a test where there was a failure, or no try at all."""
        assert self.tried and not self.failures, "\n".join(self.failures[:10])
