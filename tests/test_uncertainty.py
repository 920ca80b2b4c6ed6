"""Intervals of errors: by tables of Student's t, by plain loops, and by made-up trials where the truth is known."""

import math
import random
import statistics

import pytest

from fastscale.analysis.results.reading import Error
from fastscale.analysis.results.uncertainty import (
    OWN_MISTAKES,
    half_width,
    pooled_spread,
    sampling_sd,
)


def measured(trials: list[float]) -> Error:
    return Error(statistics.fmean(trials), statistics.stdev(trials) if len(trials) > 1 else None, len(trials))


def test_the_pooled_spread_weights_each_network_by_its_degrees_of_freedom() -> None:
    """Two trials that differ by 2 have variance 2; three that differ by 3 each have variance 9; one has none."""
    spread = pooled_spread(map(measured, ([10, 12], [20, 23, 26], [50])))
    assert spread == (pytest.approx(math.sqrt((1 * 2 + 2 * 9) / 3)), 3)
    assert pooled_spread([measured([50])]) is None and pooled_spread([]) is None
    assert pooled_spread([measured([5, 5])]) == (0, 1)


@pytest.mark.parametrize(("df", "t"), [(1, 12.706), (2, 4.303), (10, 2.228), (30, 2.042), (math.inf, 1.960)])
def test_half_widths_are_those_of_printed_tables_of_students_t(df: float, t: float) -> None:
    assert half_width(2, df) == pytest.approx(2 * t, abs=2e-3)
    assert half_width(1, 10, level=0.9) == pytest.approx(1.812, abs=1e-3)


def test_what_the_choice_of_images_adds() -> None:
    """By an experiment: pairs of networks of 20 % error that fail on their own images in a share of the variance."""
    draw, share, own = random.Random(1), 0.2, 2 * OWN_MISTAKES
    half = math.sqrt(own * share * (1 - share))  # by so much one network's chance to fail is above or below the other's
    gaps = [sum(draw.choice((-half, half)) for _ in range(400)) / 4 for _ in range(400)]
    assert statistics.stdev(gaps) == pytest.approx(math.sqrt(2) * sampling_sd(20, 400), rel=0.1)
    assert sampling_sd(0, 100) == 0


def test_equal_networks_are_rarely_called_different_and_different_ones_mostly_are() -> None:
    """At 95 %, 2000 pairs of two trials each; the spread is pooled over 10 networks of a sweep."""
    draw = random.Random(2)

    def is_found(difference: float) -> bool:
        spread = pooled_spread(measured([draw.gauss(0, 1), draw.gauss(0, 1)]) for _ in range(10))
        assert spread
        a, b = ([draw.gauss(mean, 1) for _ in range(2)] for mean in (0, difference))
        return abs(statistics.fmean(a) - statistics.fmean(b)) > half_width(spread.sd, spread.df)

    assert 0.04 < sum(is_found(0) for _ in range(2000)) / 2000 < 0.06
    assert sum(is_found(4) for _ in range(200)) / 200 > 0.9
