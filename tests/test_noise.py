"""Noise of timings, on made-up records: what pages say where timings do not repeat, and that they are silent else."""

import math
import random
from typing import Any

import pytest
from made_up import write_records

from fastscale.analysis import aggregate
from fastscale.analysis.results.noise import Noise, time_spread
from fastscale.records.records import read_record, write_record
from fastscale.sweep.expansion import FIXED
from fastscale.sweep.sweep import Sweep

CURVES = {"bases": ["EN-tiny", "RegNetZ-tiny"], "strategies": ["w", "dwr", "dWr"], "scales": [1, 4]}
SMALL = {
    "sweep": "small",
    "train": False,
    "data": {"kind": "fashion-mnist", "classes": 10},
    "figures": {"fig1": CURVES, "fig2": CURVES},
}
PEAKS = {"flops_per_second": 1e12, "bytes_per_second": 1e11, "bytes_per_value": 4, "precision": "float32"}


def record(*rounds: float, **others: Any) -> dict[str, Any]:
    return {"rounds": list(rounds), "peaks": PEAKS, **others}


QUIET = record(1.0, 1.1, 1.02, 1.9, 1.0)
LONE = record(1.0, 1.5, 1.6, 1.7, 1.9)  # no second round confirms the fastest


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([], None),
        ([QUIET] * 9 + [LONE], None),
        ([QUIET] * 8 + [LONE] * 2, "the best time of 20 % of the networks was not repeated to within 20 %"),
        ([QUIET, record(1.0, 1.0, again=[1.1, 0.95])], None),
        ([QUIET, record(1.0, 1.0, again=[1.1, 0.85])], "a network that was timed again took 1.29 times as long"),
        ([QUIET, {**QUIET, "peaks": {**PEAKS, "measured": [PEAKS, {**PEAKS, "bytes_per_second": 1.15e11}]}}], None),
        (
            [QUIET, {**QUIET, "peaks": {**PEAKS, "measured": [PEAKS, {**PEAKS, "bytes_per_second": 1.5e11}]}}],
            "the device's peak was once 1.50 times what it was another time",
        ),
    ],
)
def test_timings_are_too_noisy_where_one_of_three_things_does_not_repeat(records: list, reason: str | None) -> None:
    noise = Noise.from_records(records)
    assert noise.is_too_noisy == (reason is not None)
    if reason:
        assert reason in noise.warning and noise.sentence == noise.warning
    else:
        assert noise.warning == "" and noise.sentence.startswith("Timings repeat") == bool(records)


def test_the_load_is_told_beside_the_reason() -> None:
    assert "each step take 1.50 times" in Noise.from_records([{**LONE, "loads": [1.4, 1.6]}]).warning
    assert "Other programs" not in Noise.from_records([LONE]).warning
    assert Noise.from_records([LONE]).load is None


def test_the_spread_of_times_is_at_least_that_of_the_least_rounds() -> None:
    """Rounds are exponential above a floor: the spread must cover what repeats of the whole timing would show."""
    draws = random.Random(1)

    def rounds() -> list[float]:
        return [1 + draws.expovariate(20) for _ in range(6)]

    records = [record(*rounds()) for _ in range(200)]
    spread = time_spread(records)
    least = [math.log(min(rounds())) for _ in range(2000)]
    mean = math.fsum(least) / len(least)
    true = math.sqrt(math.fsum((value - mean) ** 2 for value in least) / len(least))
    assert spread.df == 200 and true < spread.sd < 3 * true
    assert time_spread([QUIET, record(1.0)]).df == 1 and time_spread([record(1.0)]) is None
    later = time_spread([*records, record(1.0, 1.0, again=[1.5])])
    assert later == (pytest.approx(math.log(1.5) / math.sqrt(2)), 1)


def test_pages_that_use_timings_say_first_that_they_are_too_noisy(tmp_path: Any) -> None:
    """One of each kind: all artefacts of a kind are written by the same lines of `aggregate`."""
    sweep = write_records(Sweep.from_config({**SMALL, "results": str(tmp_path)}))
    path = sweep.profile_record(FIXED)
    quiet = read_record(path, "profiles")["records"]
    for is_noisy in (False, True):
        noisy = [{**entry, "rounds": [entry["rounds"][0] * k for k in (1, 1.5, 2, 2, 2)]} for entry in quiet]
        write_record(path, {"kind": "profiles", "records": noisy if is_noisy else quiet})
        for name in ("timing", "fig1", "readme"):
            for file in aggregate(sweep, name):
                text = file.read_text(errors="replace")
                match file.suffix:
                    case ".md":
                        assert ("**Too noisy to compare times" in "".join(text.splitlines(True)[:5])) == is_noisy, file
                    case ".html":
                        assert ("<p><strong>Too noisy to compare times" in text[:3000]) == is_noisy, file
                    case ".tex":
                        is_told = r"\caption{\textbf{Too noisy to compare times" in text
                        assert is_told == is_noisy or r"\caption" not in text, file
                    case ".svg":
                        assert ("Too noisy to compare times" in text) == is_noisy, file
