import pytest

from keras_vae.errors import UsageError
from keras_vae.networks.shapes import default_widths, halved


@pytest.mark.parametrize(
    ("size", "depth", "last"),
    [
        ((4, 4), 1, (2, 2)),
        ((8, 8), 1, (4, 4)),
        ((28, 28), 3, (4, 4)),
        ((32, 32), 3, (4, 4)),
        ((33, 33), 3, (5, 5)),
        ((50, 70), 4, (4, 5)),
        ((64, 64), 4, (4, 4)),
        ((96, 96), 5, (3, 3)),
        ((128, 128), 5, (4, 4)),
        ((256, 256), 6, (4, 4)),
        ((1, 100), 5, (1, 4)),
    ],
)
def test_default_widths_end_in_a_small_map(size, depth, last):
    widths = default_widths((*size, 3))
    assert widths == (16, 32, 64, 128, 256, 256)[:depth]
    assert halved((*size, 3), widths)[-1] == last


@pytest.mark.parametrize(("size", "hidden"), [((28, 28), ()), ((5, 7), (4, 4, 4, 4))])
def test_halved_refuses_what_cannot_be_halved(size, hidden):
    with pytest.raises(UsageError, match="can be halved 1 to . times. Got hidden="):
        halved((*size, 1), hidden)
    with pytest.raises(UsageError, match="a single pixel cannot be halved; choose"):
        halved((1, 1, 3), hidden)
