"""What fastscale itself costs before any job runs: counting networks, planning a sweep, counting the whole paper.

    python benchmarks/planning.py

Prints the median and the range of n runs of each, on this machine, in seconds.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from tabulate import tabulate

from fastscale.networks.complexity import count
from fastscale.sweep.sweep import Sweep

ROOT = Path(__file__).parents[1]
THOUSAND = {
    "sweep": "thousand",
    "data": {"kind": "fashion-mnist", "classes": 10},
    "grid": {
        "bases": ["EN-B0", "RegNetY-500MF", "RegNetZ-500MF"],
        "strategies": ["d", "w", "r", "dw", "dwr", "dWr", "alpha=0.6"],
        "scales": [round(1 + 0.12 * step + 0.04 * step**2, 2) for step in range(50)],
    },
}


def seconds(run: Callable[[], object], n: int) -> list[float]:
    """The time of each of `n` runs."""
    found = []
    for _ in range(n):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return found


def snakemake(*arguments: str) -> Callable[[], object]:
    """A run of Snakemake from the project's folder, its output dropped."""
    command = [sys.executable, "-m", "snakemake", "--nolock", *arguments]
    return lambda: subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def main() -> None:
    """Measure and print."""
    sweep = Sweep.from_config(THOUSAND)
    networks = list(sweep.networks.values())[:1000]
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder, "thousand.yaml")
        configuration.write_text(yaml.safe_dump({**THOUSAND, "results": folder}))
        thousand = ["--configfile", str(configuration), "--"]
        imagenet = ["--config", f"results={folder}", "--configfile", "workflow/sweeps/imagenet.yaml", "--"]

        def counted() -> None:
            for network in networks:
                count(network)

        rows = [
            (f"count {len(networks):,} networks", seconds(counted, 5)),
            (f"plan a sweep of {len(sweep.networks):,} networks", seconds(snakemake("-n", "-q", *thousand, "all"), 3)),
            ("plan the whole paper", seconds(snakemake("-n", "-q", *imagenet, "all"), 3)),
            ("its complexity, from nothing", seconds(snakemake("--forceall", *imagenet, "complexity"), 3)),
        ]
    table = [[name, statistics.median(found), min(found), max(found), len(found)] for name, found in rows]
    print(tabulate(table, ["", "median (s)", "least", "most", "n"], floatfmt=".2f"))


if __name__ == "__main__":
    main()
