"""Random streams: each purpose, seed and epoch has random numbers of its own."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastscale.data.streams import PURPOSES, stream

SEEDS = st.integers(0, 3) | st.integers(0, 2**70)
STREAMS = st.tuples(st.sampled_from(PURPOSES), SEEDS, st.integers(0, 400))


@given(STREAMS, STREAMS)
def test_no_two_streams_are_alike(key: tuple[str, int, int], other: tuple[str, int, int]) -> None:
    """Large seeds included: the upper half of a seed is not taken for an epoch, nor an epoch for a purpose."""
    same = np.array_equal(stream(*key).random(4), stream(*other).random(4))
    assert same == (key == other)


def test_streams_of_neighbouring_seeds_are_not_alike() -> None:
    keys = itertools.product(PURPOSES, [0, 1, 2, 2**32, 2**32 + 1, 2**64], [0, 1, 2])
    assert len({stream(*key).random() for key in keys}) == len(PURPOSES) * 6 * 3


def test_no_stream_equals_one_of_a_plain_seed() -> None:
    """FFCV's orders come from plain seeds (the sum of seed and epoch), and so do those of other users of NumPy."""
    plain = {
        np.random.default_rng(words).random() for words in (0, 1, 2, 100_000, [1, 0], [1, 1], [1, 0, 1], [1, 0, 2])
    }
    assert not plain & {stream(purpose, seed, 0).random() for purpose in PURPOSES for seed in (0, 1, 2, 100_000)}
