"""Tables of timings: how each network was executed, how fast it is, and what bounds it (fastscale.cost.roofline)."""

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.results.results import Results, Row
from fastscale.cost.roofline import EAGER_CROSSINGS, FUSED_CROSSINGS, OPERATIONS, Roofline
from fastscale.errors import UserError
from fastscale.execution import Execution
from fastscale.sweep.sweep import Sweep


def require_whole(results: Results) -> None:
    """Raise where a timing is by an older fastscale, which measured less.

    Raises:
        UserError: a profile record without the device's peaks.
    """
    for record in results.records["profile"]:
        if "peaks" not in record:
            raise UserError(
                f"{record['network']} was timed by an older fastscale, which did not measure the device's peaks; "
                "time it again: `snakemake --forcerun profile`"
            )


def timing(sweep: Sweep, artefact: str, results: Results) -> Table:
    """A row for each network: its fastest execution, and each one that was tried."""
    require_whole(results)
    lines, shown = [], []
    for row, record in _timed(results):
        step, several, memory = record["step_seconds"], record["several"], record["peak_memory_bytes"]
        on_several = several["epoch_seconds"]["median"]
        inference = record["inference_seconds"]["median"] / record["batch"]
        executions = "; ".join(_way(one) for one in record["tried"])
        lines.append(
            {
                "network": row.point.network.id,
                "batch": record["batch"],
                **Execution.from_record(record)._asdict(),
                **{key: record[key] for key in ("precision", "n")},
                **{f"step_{key}": f"{seconds:.6g}" for key, seconds in step.items()},
                "inference_seconds_per_image": f"{inference:.6g}",
                "peak_memory_bytes": "" if memory is None else memory,
                "epoch_seconds": f"{record['epoch_seconds']['median']:.6g}",
                "devices": several["devices"],
                "epoch_seconds_on_devices": f"{on_several:.6g}",
                "is_measured_on_devices": int(several["is_measured"]),
                "tried": executions,
            }
        )
        told = f"{on_several / 60:.4g}"
        shown.append(
            {
                "network": _name(row),
                "batch": str(record["batch"]),
                "execution": str(Execution.from_record(record)),
                "step (ms)": f"{1e3 * step['median']:.4g}",
                "quartiles (n)": f"[{1e3 * step['q1']:.4g}, {1e3 * step['q3']:.4g}] ({record['n']})",
                "inference (µs an image)": f"{1e6 * inference:.4g}",
                "memory (GiB)": "—" if memory is None else f"{memory / 2**30:.2f}",
                "epoch (min)": f"{record['epoch_seconds']['median'] / 60:.4g}",
                f"on {several['devices']} (min)": told if several["is_measured"] else f"({told})",
                "tried (ms)": executions,
            }
        )
    text = (
        "Each network by the fastest of the ways that were tried (milliseconds of a training step, or why there is "
        "none): median and quartiles (n steps). Inference is a forward pass of the same batch. Minutes are those of an "
        f"epoch of {sweep.config['profile']['images']:,} images; in brackets: scaled from one device, not measured."
    )
    return _table(f"Timings, sweep {sweep.name}", [conditions(results), text], lines, shown)


def roofline(sweep: Sweep, artefact: str, results: Results) -> Table:
    """A row for each network: its time for an image beside what arithmetic, traffic and launches allow."""
    require_whole(results)
    lines, shown = [], []
    bounds: Counter[str] = Counter()
    crossings = []
    for row, record in _timed(results):
        found = Roofline.from_record(record)
        bounds[found.bound] += 1
        crossings.append(found.crossings)
        execution = str(Execution.from_record(record))
        seconds = {
            "measured": found.seconds,
            "arithmetic": found.compute,
            "fused traffic": found.fused_traffic,
            "eager traffic": found.eager_traffic,
            "launches": found.launches,
        }
        lines.append(
            {
                "network": row.point.network.id,
                "flops": row.flops,
                "acts": row.acts,
                "execution": execution,
                **{f"{key.replace(' ', '_')}_seconds": f"{value:.6g}" for key, value in seconds.items()},
                "crossings": f"{found.crossings:.4f}",
                "bound_by": found.bound,
            }
        )
        shown.append(
            {
                "network": _name(row),
                "flops (M)": f"{row.flops / 1e6:,.4g}",
                "acts (M)": f"{row.acts / 1e6:,.4g}",
                "execution": execution,
                **{f"{key} (µs)": f"{1e6 * value:,.4g}" for key, value in seconds.items()},
                "crossings": f"{found.crossings:,.3g}",
                "bound by": found.bound,
            }
        )
    text = (
        f"Microseconds of an image in a training step, and what they cannot be less than: by arithmetic ({OPERATIONS} "
        f"operations a flop), by traffic if each activation crosses the memory {FUSED_CROSSINGS} times (all fused) or "
        f"{EAGER_CROSSINGS} times (eager), and by launches (what a step takes however few its images are). Crossings "
        "are the effective ones: how often each activation could have been read or written in the measured time. "
        "A network is bound by the largest of arithmetic, traffic as it was executed, and launches "
        "(fastscale/cost/roofline.py derives them)."
    )
    told = ", ".join(f"{n} by {limit}" for limit, n in bounds.most_common())
    summary = f"**Bound: {told}. Crossings: median {statistics.median(crossings):.3g}.**" if lines else ""
    remarks = " ".join(filter(None, [summary, *_peaks(results)]))
    return _table(f"Roofline, sweep {sweep.name}", [conditions(results), remarks, text], lines, shown)


def _timed(results: Results) -> Iterator[tuple[Row, Mapping[str, Any]]]:
    """Each distinct network with its profile record, by flops."""
    records = {record["network"]: record for record in results.records["profile"]}
    rows = {row.point.network.id: row for row in reversed(results.rows)}
    for network in sorted(rows, key=lambda network: (rows[network].flops, network)):
        if network in records:
            yield rows[network], records[network]


def _peaks(results: Results) -> Iterator[str]:
    """What the device reached, in words."""
    found = [record["peaks"] for record in results.records["profile"]]
    for peaks in {tuple(sorted(one.items())): one for one in found}.values():
        yield (
            f"Measured peaks: {peaks['flops_per_second'] / 1e12:.3g} Tflop/s (matrix product, {peaks['precision']}), "
            f"{peaks['bytes_per_second'] / 1e9:.3g} GB/s (copy)."
        )


def _table(
    title: str, paragraphs: Sequence[str], lines: Sequence[Mapping[str, object]], shown: Sequence[Mapping[str, str]]
) -> Table:
    """Lines for programs and for people, by their columns; without any line there is no grid."""
    grids = [Grid(list(shown[0]), [list(line.values()) for line in shown])] if shown else []
    header = list(lines[0]) if lines else ["network"]
    return Table(title, [*paragraphs, *grids], header, [list(line.values()) for line in lines])


def _name(row: Row) -> str:
    point = row.point
    return point.base if row.is_base else f"{point.base} {point.strategy} {point.scale:g}"


def _way(one: Mapping[str, Any]) -> str:
    told = str(Execution.from_record(one)).replace(",", "")
    return f"{told}: {one['gap']}" if "gap" in one else f"{told} {1e3 * one['step_seconds']['median']:.4g}"
