"""Random streams: what is drawn for one thing is not what is drawn for another."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastscale.data.streams import DRAWN, stream

SEEDS = st.integers(0, 3) | st.integers(0, 2**70)
STREAMS = st.tuples(st.sampled_from(DRAWN), SEEDS, st.integers(0, 400))


@given(STREAMS, STREAMS)
def test_no_two_streams_are_alike(one: tuple[str, int, int], other: tuple[str, int, int]) -> None:
    """However large the seed: its upper half is not taken for an epoch, nor an epoch for what is drawn."""
    same = np.array_equal(stream(*one).random(4), stream(*other).random(4))
    assert same == (one == other)


def test_neighbours_are_not_alike() -> None:
    few = itertools.product(DRAWN, [0, 1, 2, 2**32, 2**32 + 1, 2**64], [0, 1, 2])
    assert len({stream(*one).random() for one in few}) == len(DRAWN) * 6 * 3


def test_none_is_that_of_a_plain_seed() -> None:
    """As the loader's order has it (FFCV takes the sum of seed and epoch), and numpy's users."""
    plain = {
        np.random.default_rng(words).random() for words in (0, 1, 2, 100_000, [1, 0], [1, 1], [1, 0, 1], [1, 0, 2])
    }
    assert not plain & {stream(drawn, seed, 0).random() for drawn in DRAWN for seed in (0, 1, 2, 100_000)}
