"""What a user, or a program in a user's name, may write where something else is meant. Strategies of hypothesis."""

import datetime
import json

from hypothesis import strategies as st

# What YAML makes of slips: on, 2020-01-01, 1e9, 0x10, .nan, an empty value; and numbers that no device could hold.
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.sampled_from([10**9, 10**18, 10**30, 10**400, -(10**400), 2**63]),
    st.floats(),
    st.sampled_from([-0.0, 1e-300, 1e300, 4.0, 0.5, 1e6]),
    st.sampled_from(["", " ", "1e9", "1e-5", "4.0", "16GF", "2h", "20GB", "nan", "inf", "null", "true", "-8", "1e999"]),
    st.sampled_from(["{x}", "a/b", "a\n", "a\0", "\ud800", "..", "~", "-x", "fixed", "EN-tiny", "w", "1x", "x" * 300]),
    st.text(max_size=8),
    st.dates(),
    st.just(datetime.datetime(2020, 1, 1)),
    st.binary(max_size=3),
)
KEYS = st.one_of(
    st.text(max_size=5), st.integers(), st.booleans(), st.none(), st.dates(), st.sampled_from(["{x}", "a/b"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inside: st.one_of(st.lists(inside, max_size=3), st.dictionaries(KEYS, inside, max_size=3)),
    max_leaves=6,
)


def as_json(value):
    """A value as JSON, as far as JSON goes."""
    return json.dumps(value, default=str, skipkeys=True)


def places(value, above=()):
    """The keys that lead to each value within a configuration, itself excluded."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield (*above, key)
        yield from places(one, (*above, key))


def at(value, place):
    """The value at a place."""
    for key in place:
        value = value[key]
    return value
