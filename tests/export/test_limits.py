import pytest

from export import limits
from export.limits import Gate, Limits, Refused, TokenBuckets


def test_a_bucket_lets_a_burst_in_and_then_a_steady_rate():
    """20 s at 2 a second with 5 at once: 5 + 2 * 20 of requests every 0.1 s."""
    now = [0.0]
    buckets = TokenBuckets(rate=2.0, burst=5, clock=lambda: now[0])
    passed = 0
    for k in range(201):
        now[0] = k / 10
        passed += buckets.wait("a") == 0
    assert passed == 5 + 2 * 20
    assert buckets.wait("b") == 0  # another address has its own


def test_the_wait_is_until_there_is_a_token():
    now = [0.0]
    buckets = TokenBuckets(rate=0.5, burst=1, clock=lambda: now[0])
    assert buckets.wait("a") == 0
    assert (wait := buckets.wait("a")) == 2.0
    now[0] += wait
    assert buckets.wait("a") == 0
    now[0] += 1000  # no more than a full bucket
    assert [buckets.wait("a") > 0 for _ in range(3)] == [False, True, True]


def test_addresses_are_forgotten_those_that_asked_longest_ago_first(monkeypatch):
    monkeypatch.setattr(limits, "ADDRESSES", 2)
    buckets = TokenBuckets(rate=1.0, burst=1, clock=lambda: 0.0)
    assert [buckets.wait(address) > 0 for address in "abacb"] == [
        *(False, False, True, False),  # c pushes b out
        False,
    ]


def test_one_image_is_never_too_much():
    limits = Limits(images=50, values=4_000)
    limits.check(50, (4, 4, 1))
    limits.check(40, (10, 10, 1))
    limits.check(10, (10, 10, 1), as_json=True)
    limits.check(1, (1000, 1000, 3), as_json=True)
    for number, shape, as_json, most in (
        (51, (4, 4, 1), False, "50 images"),
        (41, (10, 10, 1), False, "40 images"),
        (11, (10, 10, 1), True, "10 images as JSON"),
        (2, (1000, 1000, 3), False, "1 images"),
    ):
        with pytest.raises(Refused, match=f"A reply has {most} at most; got {number}"):
            limits.check(number, shape, as_json)


def test_a_gate_counts_who_is_inside():
    gate = Gate(Limits(requests=1, rate=None))
    with gate:
        with pytest.raises(Refused, match="1 requests at the same time") as refused:
            with gate:
                pass
        assert (refused.value.status, refused.value.wait) == (503, 1)
    with pytest.raises(RuntimeError), gate:
        raise RuntimeError
    with gate:
        assert gate.inside == 1
    for _ in range(1000):
        gate.check_rate("a")  # no rate, no refusal
