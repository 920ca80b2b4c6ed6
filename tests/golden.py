"""Golden complexities: counts that must not change unnoticed. `python tests/golden.py` writes golden.csv anew."""

import csv
from collections.abc import Iterator
from pathlib import Path

from fastscale.networks import base_network, known_bases
from fastscale.networks.complexity import count
from fastscale.networks.scaling import NAMED, parse_strategy, scale

PATH = Path(__file__).with_suffix(".csv")
HEADER = ["base", "strategy", "scale", "flops", "params", "acts"]


def rows() -> Iterator[list[str]]:
    """Every built-in base by every named strategy and one that is not, counted now."""
    for base in known_bases():
        network = base_network(base)
        yield [base, "", "1", *map(str, count(network))]
        for strategy in [*NAMED, "alpha=0.6"]:
            yield [base, strategy, "8.25", *map(str, count(scale(network, parse_strategy(strategy), 8.25)))]


if __name__ == "__main__":
    with PATH.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *rows()])
