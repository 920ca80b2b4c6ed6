"""Ours beside others on the same work in one run: the contenders take turns, so that all see the same disturbances."""

import csv
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from tabulate import tabulate

from fastscale.records.provenance import processor

RESULTS = Path(__file__).parent / "results"
OURS = "fastscale"


def turns(contenders: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Seconds of each contender in each of `rounds` rounds, in which all take their turn; a warm-up comes before."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(-warm_up, rounds):
        for name, contend in contenders.items():
            began = time.perf_counter()
            contend()
            if number >= 0:
                found[name].append(time.perf_counter() - began)
        print(f"\r{number + warm_up + 1} of {rounds + warm_up} rounds", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def row(what: str, found: Mapping[str, Sequence[float]], unit: float = 1.0) -> list[dict[str, object]]:
    """For each contender its median and quartiles in `unit` seconds, and by how much ours is faster: of each round."""
    rows = []
    for name, times in found.items():
        low, middle, high = _quartiles([t / unit for t in times])
        ratios = _quartiles([theirs / ours for theirs, ours in zip(times, found[OURS], strict=True)])
        rows.append(
            {"what": what, "who": name, "median": middle, "q1": low, "q3": high, "n": len(times)}
            | dict(zip(("ratio_q1", "ratio", "ratio_q3"), ratios, strict=True))
        )
    return rows


def write(name: str, title: str, rows: Sequence[Mapping[str, object]], packages: Sequence[str] = ()) -> None:
    """Write and print a table of rows as `row` makes them, with what it was measured on."""
    RESULTS.mkdir(exist_ok=True)
    columns = ["what", "who", "median", "q1", "q3", "n", "ratio", "ratio_q1", "ratio_q3"]
    with (RESULTS / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{v:.5g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows)
    cells = [[r["what"], r["who"], _spread(r, "median", "q1", "q3", ".4g"), r["n"]] for r in rows]
    for line, r in zip(cells, rows, strict=True):
        line.append("" if r["who"] == OURS else _spread(r, "ratio", "ratio_q1", "ratio_q3", ".2f"))
    heads = ["", "", "median (quartiles)", "n", "of ours (quartiles)"]
    versions = ", ".join(f"{package} {version(package)}" for package in ("torch", *packages))
    cores = len(os.sched_getaffinity(0))
    where = f"{processor()}, {cores} cores; {versions}; {date.today()}."
    text = f"{title}\n\n{tabulate(cells, heads, tablefmt='pipe')}\n\n{where}\n"
    (RESULTS / f"{name}.md").write_text(text)
    print(text)


def _spread(row: Mapping[str, object], middle: str, low: str, high: str, digits: str) -> str:
    return f"{row[middle]:{digits}} ({row[low]:{digits}} to {row[high]:{digits}})"


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high
