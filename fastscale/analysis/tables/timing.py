"""Tables of timings: each network's fastest execution, its times, and what bounds them (fastscale.cost.roofline)."""

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.results.results import Results, Row
from fastscale.cost.roofline import EAGER_CROSSINGS, FUSED_CROSSINGS, OPERATIONS, Roofline
from fastscale.execution import Execution
from fastscale.sweep.sweep import Sweep


def timing(sweep: Sweep, artefact: str, results: Results) -> Table:
    """List each network with its fastest execution, and all executions that were tried."""
    lines, shown = [], []
    for row, record in _timed(results):
        step, several, memory = record["step_seconds"], record["several"], record["peak_memory_bytes"]
        on_several = several["epoch_seconds"]["least"]
        inference = record["inference_seconds"]["least"] / record["batch"]
        executions = "; ".join(map(_tried, record["tried"]))
        lines.append(
            {
                "network": row.point.network.id,
                "batch": record["batch"],
                **Execution.from_record(record)._asdict(),
                **{key: record[key] for key in ("precision", "n")},
                **{f"step_{key}": f"{seconds:.6g}" for key, seconds in step.items()},
                "inference_seconds_per_image": f"{inference:.6g}",
                "peak_memory_bytes": "" if memory is None else memory,
                "epoch_seconds": f"{record['epoch_seconds']['least']:.6g}",
                "devices": several["devices"],
                "epoch_seconds_on_devices": f"{on_several:.6g}",
                "is_measured_on_devices": int(several["is_measured"]),
                "tried": executions,
            }
        )
        minutes = f"{on_several / 60:.4g}"
        shown.append(
            {
                "network": row.name,
                "batch": str(record["batch"]),
                "execution": str(Execution.from_record(record)),
                "step (ms)": f"{1e3 * step['least']:.4g}",
                "to (n)": f"{1e3 * step['most']:.4g} ({record['n']})",
                "inference (µs per image)": f"{1e6 * inference:.4g}",
                "memory (GiB)": "—" if memory is None else f"{memory / 2**30:.2f}",
                "epoch (min)": f"{record['epoch_seconds']['least'] / 60:.4g}",
                f"on {several['devices']} (min)": minutes if several["is_measured"] else f"({minutes})",
                "tried (ms)": executions,
            }
        )
    text = (
        "Each network by the fastest of the executions that were tried (milliseconds per training step, or why it "
        "was not timed): the least of n rounds to the most (n). Inference is a forward pass of the same batch. Minutes "
        f"are per epoch of {sweep.config['profile']['images']:,} images; in brackets: scaled from one device."
    )
    repeat = "" if results.noise.is_too_noisy else results.noise.sentence  # each page begins with the warning
    if results.time_spread.freedom:
        deviation, networks = 100 * results.time_spread.deviation, results.time_spread.freedom
        repeat += f" The standard deviation of a time is {deviation:.1f} % (by the rounds of {networks} networks)."
    return _table(f"Timings, sweep {sweep.name}", [conditions(results), text, repeat.strip()], lines, shown)


def roofline(sweep: Sweep, artefact: str, results: Results) -> Table:
    """List each network with its time per image, beside the limits of arithmetic, traffic and launches."""
    lines, shown = [], []
    bounds: Counter[str] = Counter()
    crossings = []
    for row, record in _timed(results):
        limits = Roofline.from_record(record)
        bounds[limits.bound] += 1
        crossings.append(limits.crossings)
        execution = str(Execution.from_record(record))
        seconds = {
            "measured": limits.seconds,
            "arithmetic": limits.compute,
            "fused traffic": limits.fused_traffic,
            "eager traffic": limits.eager_traffic,
            "launches": limits.launches,
        }
        lines.append(
            {
                "network": row.point.network.id,
                "flops": row.flops,
                "acts": row.acts,
                "execution": execution,
                **{f"{key.replace(' ', '_')}_seconds": f"{value:.6g}" for key, value in seconds.items()},
                "crossings": f"{limits.crossings:.4f}",
                "bound_by": limits.bound,
            }
        )
        shown.append(
            {
                "network": row.name,
                "flops (M)": f"{row.flops / 1e6:,.4g}",
                "acts (M)": f"{row.acts / 1e6:,.4g}",
                "execution": execution,
                **{f"{key} (µs)": f"{1e6 * value:,.4g}" for key, value in seconds.items()},
                "crossings": f"{limits.crossings:,.3g}",
                "bound by": limits.bound,
            }
        )
    text = (
        f"Microseconds per image in a training step, and their lower limits: by arithmetic ({OPERATIONS} operations "
        f"per flop), by traffic if each activation crosses the memory {FUSED_CROSSINGS} times (all fused) or "
        f"{EAGER_CROSSINGS} times (eager), and by launches (the time of a step that does not depend on its batch). "
        "Crossings are effective: how often each activation could have been read or written in the measured time. "
        "A network is bound by the largest of arithmetic, traffic of its execution, and launches "
        "(fastscale/cost/roofline.py derives them)."
    )
    counts = ", ".join(f"{n} by {limit}" for limit, n in bounds.most_common())
    summary = f"**Bound: {counts}. Crossings: median {statistics.median(crossings):.3g}.**" if lines else ""
    remarks = " ".join(filter(None, [summary, *_peaks(results)]))
    return _table(f"Roofline, sweep {sweep.name}", [conditions(results), remarks, text], lines, shown)


def _timed(results: Results) -> Iterator[tuple[Row, Mapping[str, Any]]]:
    """Yield each distinct network that was timed, with its profile record, by increasing flops."""
    records = {record["network"]: record for record in results.records["profile"]}
    rows = {row.point.network.id: row for row in reversed(results.rows)}
    for network in sorted(rows, key=lambda network: (rows[network].flops, network)):
        if network in records:
            yield rows[network], records[network]


def _peaks(results: Results) -> Iterator[str]:
    """Say in words which peaks of the device the limits rest on: the best measured, each distinct pair once."""
    best = [record["peaks"] for record in results.records["profile"]]
    pairs = {(peaks["flops_per_second"], peaks["bytes_per_second"]): peaks["precision"] for peaks in best}
    for (flops, traffic), precision in pairs.items():
        yield (
            f"Measured peaks: {flops / 1e12:.3g} Tflop/s (matrix product, {precision}), "
            f"{traffic / 1e9:.3g} GB/s (copy)."
        )


def _table(
    title: str, paragraphs: Sequence[str], lines: Sequence[Mapping[str, object]], shown: Sequence[Mapping[str, str]]
) -> Table:
    """Make a table of lines for programs and lines shown to people, each by column; no lines, no grid."""
    grids = [Grid(list(shown[0]), [list(line.values()) for line in shown])] if shown else []
    header = list(lines[0]) if lines else ["network"]
    return Table(title, [*paragraphs, *grids], header, [list(line.values()) for line in lines])


def _tried(result: Mapping[str, Any]) -> str:
    """Write an execution with its milliseconds per step, or with the reason why it was not timed."""
    execution = str(Execution.from_record(result)).replace(",", "")
    if "gap" in result:
        return f"{execution}: {result['gap']}"
    seconds = result["step_seconds"]
    return f"{execution} {1e3 * seconds.get('least', seconds['median']):.4g}"
