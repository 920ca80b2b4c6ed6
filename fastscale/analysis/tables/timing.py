"""Tables of timings: each network's fastest execution, its times, and what bounds them (fastscale.cost.roofline)."""

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.rendering.units import COUNTS, TIMES, Unit, number, unit_of
from fastscale.analysis.results.results import Results, Row
from fastscale.cost.roofline import EAGER_CROSSINGS, FUSED_CROSSINGS, OPERATIONS, Roofline
from fastscale.execution import Execution
from fastscale.sweep.sweep import Sweep


def timing(sweep: Sweep, artefact: str, results: Results) -> Table:
    """List each network with its fastest execution, and all executions that were tried."""
    lines, shown = [], []
    timed = list(_timed(results))
    images = results.epoch.words
    unit = unit_of((record["step_seconds"]["least"] for _, record in timed), TIMES)
    epoch = unit_of((record["epoch_seconds"]["least"] for _, record in timed), TIMES)
    image = unit_of((record["inference_seconds"]["least"] / record["batch"] for _, record in timed), TIMES)
    for row, record in timed:
        step, several, memory = record["step_seconds"], record["several"], record["peak_memory_bytes"]
        share = results.epoch.images / record["images"]
        alone, on_several = (share * each["epoch_seconds"]["least"] for each in (record, several))
        inference = record["inference_seconds"]["least"] / record["batch"]
        executions = "; ".join(_tried(result, unit) for result in record["tried"])
        lines.append(
            {
                "network": row.point.network.id,
                "batch": record["batch"],
                **Execution.from_record(record)._asdict(),
                **{key: record[key] for key in ("precision", "n")},
                **{f"step_{key}": f"{seconds:.6g}" for key, seconds in step.items()},
                "inference_seconds_per_image": f"{inference:.6g}",
                "peak_memory_bytes": "" if memory is None else memory,
                "epoch_seconds": f"{alone:.6g}",
                "devices": several["devices"],
                "epoch_seconds_on_devices": f"{on_several:.6g}",
                "is_measured_on_devices": int(several["is_measured"]),
                "tried": executions,
            }
        )
        scaled = epoch.write(on_several)
        shown.append(
            {
                "network": row.name,
                "batch": str(record["batch"]),
                "execution": str(Execution.from_record(record)),
                f"step ({unit.name})": unit.write(step["least"]),
                "most (n)": f"{unit.write(step['most'])} ({record['n']})",
                f"inference ({image.name} per image)": image.write(inference),
                "memory (GiB)": "—" if memory is None else f"{memory / 2**30:.2f}",
                f"{images} ({epoch.name})": epoch.write(alone),
                f"on {several['devices']} ({epoch.name})": scaled if several["is_measured"] else f"({scaled})",
                f"tried ({unit.name})": executions,
            }
        )
    text = (
        "Each network by the fastest of the executions that were tried (the time of a training step, or why it was not "
        "timed). A step is the least of n rounds, beside the most of them (n). Inference is a forward pass of the same "
        "batch. Times on several devices that stand in brackets are scaled from one device, not measured."
    )
    repeat = "" if results.noise.is_too_noisy else results.noise.sentence  # each page begins with the warning
    if spread := results.time_spread:
        deviation = f"{100 * spread.sd:.1f} % (by the rounds of {spread.df} networks)"
        repeat += f" The standard deviation of a time is {deviation}."
    return _table(f"Timings, sweep {sweep.name}", [conditions(results), text, repeat.strip()], lines, shown)


def roofline(sweep: Sweep, artefact: str, results: Results) -> Table:
    """List each network with its time per image, beside the limits of arithmetic, traffic and launches."""
    lines, shown = [], []
    rooflines = [(row, record, Roofline.from_record(record)) for row, record in _timed(results)]
    counts = {key: unit_of((getattr(row, key) for row, _, _ in rooflines), COUNTS) for key in ("flops", "acts")}
    unit = unit_of((limits.seconds for _, _, limits in rooflines), TIMES)
    for row, record, limits in rooflines:
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
                "share_explained": f"{limits.share:.4f}",
                "bound_by": limits.bound,
            }
        )
        shown.append(
            {
                "network": row.name,
                **{f"{key} ({count.name})": count.write(getattr(row, key)) for key, count in counts.items()},
                "execution": execution,
                **{f"{key} ({unit.name})": unit.write(value) for key, value in seconds.items()},
                "crossings": number(limits.crossings),
                "share explained": f"{100 * limits.share:.0f} %",
                "bound by": limits.bound,
            }
        )
    text = (
        f"Time per image in a training step, and its lower limits: by arithmetic ({OPERATIONS} operations per flop), "
        f"by traffic if each activation crosses the memory {FUSED_CROSSINGS} times (all fused) or {EAGER_CROSSINGS} "
        "times (eager), and by launches (the time of a step that does not depend on its batch). Crossings are "
        "effective: how often each activation could have been read or written in the measured time. A network is bound "
        "by the largest of arithmetic, traffic of its execution, and launches. The share explained is that of this "
        "limit in the measured time; where it is under half, none of them bounds the network "
        "(fastscale/cost/roofline.py derives them)."
    )
    bounds = Counter(limits.bound for _, _, limits in rooflines)
    listed = ", ".join(f"{n} by {limit}{' of them' * (limit == 'none')}" for limit, n in bounds.most_common())
    crossings = number(statistics.median(limits.crossings for _, _, limits in rooflines)) if lines else ""
    summary = f"**Bound: {listed}. Crossings: median {crossings}.**" if lines else ""
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


def _tried(result: Mapping[str, Any], unit: Unit) -> str:
    """Write an execution with the time of its step in a unit, or with the reason why it was not timed."""
    execution = str(Execution.from_record(result)).replace(",", "")
    if "gap" in result:
        return f"{execution}: {result['gap']}"
    seconds = result["step_seconds"]
    return f"{execution} {unit.write(seconds.get('least', seconds['median']))}"
