"""What a server gives to whom: how much in one request, and how often."""

import collections
import math
import time
from dataclasses import dataclass

ADDRESSES = 10_000  # that are remembered


@dataclass(frozen=True)
class Limits:
    """What one request may ask for, and how many are seen to.

    Attributes:
        images: Images in one reply.
        values: Numbers in one reply, pixels times channels of all its images; as JSON,
            which takes twenty bytes for each, a quarter of it.
        body: Bytes of a request's body.
        seconds: To send that body in.
        requests: Requests that are seen to at the same time.
        rate: Requests a second from one address, in the long run; None for any number.
        burst: Requests from one address that may come at once.
    """

    images: int = 1024
    values: int = 2**22
    body: int = 2**20
    seconds: float = 10.0
    requests: int = 32
    rate: float | None = 20.0
    burst: int = 40

    def check(self, number: int, image_shape, as_json: bool = False) -> None:
        """Refuses more images than one reply has; one is never too much.

        Raises:
            Refused: With status 413.
        """
        values = self.values // 4 if as_json else self.values
        most = max(1, min(self.images, values // math.prod(image_shape)))
        if number > most:
            kind = " as JSON" if as_json else ""
            raise Refused(
                413, f"A reply has {most} images{kind} at most; got {number}."
            )


class Refused(Exception):
    """A request that is not answered as it wishes.

    Args:
        status: Of HTTP.
        sentence: What was expected, what came, what to do.
        wait: Seconds after which it may be answered.
    """

    def __init__(self, status: int, sentence: str, wait: int | None = None):
        super().__init__(sentence)
        self.status = status
        self.wait = wait


class TokenBuckets:
    """How often each address may ask: a bucket of tokens each, filled at a steady rate.

    A request takes a token; so on average `rate` a second are let in, and `burst` at
    once (Turner 1986, "New directions in communications"). The addresses that asked
    longest ago are forgotten where there are too many: their buckets are full by then,
    or an attacker has as many addresses.

    Args:
        rate: Tokens a second, > 0.
        burst: Tokens in a full bucket, >= 1.
        clock: Seconds from any beginning.

    Example:
        >>> buckets = TokenBuckets(rate=1.0, burst=1, clock=lambda: 0.0)
        >>> buckets.wait("a"), buckets.wait("a"), buckets.wait("b")
        (0.0, 1.0, 0.0)
    """

    def __init__(self, rate: float, burst: int, clock=time.monotonic):
        self.rate = rate
        self.burst = burst
        self.clock = clock
        # address -> (tokens, when), the one that asked last at the end
        self._buckets: collections.OrderedDict[str, tuple[float, float]]
        self._buckets = collections.OrderedDict()

    def wait(self, address: str) -> float:
        """Takes a token; returns 0, or the seconds until there is one again."""
        now = self.clock()
        tokens, before = self._buckets.pop(address, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - before) * self.rate)
        allowed = tokens >= 1
        self._buckets[address] = (tokens - allowed, now)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self.rate


class Gate:
    """Lets requests in, one `with` block each, as far as the limits allow.

    Args:
        limits: What they are.
    """

    def __init__(self, limits: Limits):
        self.limits = limits
        self.inside = 0
        self._buckets = None
        if limits.rate is not None:
            self._buckets = TokenBuckets(limits.rate, limits.burst)

    def check_rate(self, address: str) -> None:
        """Refuses an address that asks too often.

        Raises:
            Refused: With status 429.
        """
        wait = self._buckets.wait(address) if self._buckets else 0
        if wait > 0:
            wait = math.ceil(wait)
            raise Refused(
                429,
                f"This server takes {self.limits.rate:g} requests a second from one "
                f"address; ask again in {wait} s.",
                wait,
            )

    def __enter__(self):
        if self.inside >= self.limits.requests:
            raise Refused(
                503,
                f"This server sees to {self.limits.requests} requests at the same "
                "time, and has as many; ask again in 1 s.",
                1,
            )
        self.inside += 1
        return self

    def __exit__(self, *error):
        self.inside -= 1
