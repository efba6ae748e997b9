"""Strategies: valid bytes and JSON documents, and what becomes of them."""

from hypothesis import strategies as st

SIZES = [0, 1, 2, 3, 127, 128, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1]
NUMBERS = [number.to_bytes(4, order) for number in SIZES for order in ("big", "little")]
ZIP = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"images", b".npy", b"/")


def damaged(*valid: bytes, words: tuple[bytes, ...] = ()):
    """Any bytes; or, mostly, valid ones in which up to four places were changed.

    Args:
        *valid: To begin with.
        words: That mean something in this format.
    """
    some = [st.binary(max_size=9), st.sampled_from(NUMBERS)]
    some += [st.sampled_from(words)] if words else []
    place, length = st.integers(0, 2**16), st.sampled_from([0, 1, 1, 2, 4, 9, 2**20])
    other = st.tuples(place, length, st.one_of(some))
    flipped = st.tuples(place, st.just(1), st.binary(min_size=1, max_size=1))
    starts = st.sampled_from(valid)
    return st.one_of(
        st.binary(max_size=300),
        *3 * [st.builds(_changed, starts, st.lists(flipped, max_size=3))],
        *3 * [st.builds(_changed, starts, st.lists(other, max_size=4))],
    )


def _changed(data, changes):
    for position, length, new in changes:
        position %= len(data) + 1
        data = data[:position] + new + data[position + length :]
    return data


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.sampled_from(
            [-1, 0, 1, 2**31, 2**63, 10**400, "", "..", "/x", "a/../b", "\0"]
        ),
        st.text(max_size=9),
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def altered(document: dict):
    """A JSON document in which up to three values are other ones, or are gone."""
    change = st.tuples(
        st.sampled_from(list(_paths(document))),
        st.sampled_from(["replace", "replace", "remove", "add", "rename"]),
        st.text(max_size=5)
        | st.sampled_from(["..", "../x", "/x", "a\\b", "a//b", "."]),
        json_values,
    )
    return st.lists(change, min_size=1, max_size=3).map(
        lambda changes: _altered(document, changes)
    )


def _paths(document, path=()):
    for key in document if isinstance(document, dict) else range(len(document)):
        yield (*path, key)
        if isinstance(document[key], dict | list):
            yield from _paths(document[key], (*path, key))


def _altered(document, changes):
    for path, kind, name, value in changes:
        document = _at(document, path, kind, name, value)
    return document


def _at(document, path, kind, name, value):
    """The document with one change; as it is where an earlier change was in the way."""
    key, *rest = path
    if not isinstance(document, dict | list) or (
        key not in (document if isinstance(document, dict) else range(len(document)))
    ):
        return document
    items = dict(document) if isinstance(document, dict) else list(document)
    if rest:
        items[key] = _at(items[key], rest, kind, name, value)
    elif kind == "replace" or isinstance(items, list):
        items[key] = value
    elif kind == "add":
        items[name] = value
    else:
        old = items.pop(key)
        if kind == "rename":
            items[name] = old
    return items
