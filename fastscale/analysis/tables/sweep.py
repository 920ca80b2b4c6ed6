"""Tables of a whole sweep: its networks and its searches; and the published complexity beside ours."""

import math

from fastscale.analysis.rendering.cells import error_cell, time_cell
from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.rendering.units import COUNTS, TIMES, unit_of
from fastscale.analysis.results.published import UNITS, numbers
from fastscale.analysis.results.results import Results
from fastscale.networks import base_network
from fastscale.networks.complexity import count
from fastscale.records.records import read_record
from fastscale.sweep.sweep import Sweep

SHAPE = ("network", "base", "strategy", "scale", "realised_scale", "resolution", "depths", "widths", "group_widths")
MEASURED = ("flops", "params", "acts", "epoch_seconds", "epoch_most", "rounds", "batch")


def networks(sweep: Sweep, artefact: str, results: Results) -> Table:
    """List every point of the sweep: its network's shape, costs, time and error."""
    schedules = [name for name in sweep.config["schedules"] if any(name in row.errors for row in results.rows)]
    lines, shown = [], []
    counts = {key: unit_of([getattr(row, key) for row in results.rows], COUNTS) for key in ("flops", "params", "acts")}
    unit = unit_of([row.time.seconds if row.time else None for row in results.rows], TIMES)
    for row in results.rows:
        network, time = row.point.network, row.time
        line: list[object] = [network.id, row.point.base, row.point.strategy, f"{row.point.scale:g}"]
        line += [f"{row.realised:.4f}", network.resolution]
        line += [" ".join(map(str, sizes)) for sizes in (network.depths, network.widths, network.group_widths)]
        line += [row.flops, row.params, row.acts]
        line += [f"{time.seconds:.6g}", f"{time.most:.6g}", time.n, time.batch] if time else [""] * 4
        for error in map(row.errors.get, schedules):
            spread = "" if error is None or error.std is None else f"{error.std:.4f}"
            line += [f"{error.mean:.4f}", spread, error.n] if error else ["", "", ""]
        lines.append([*line, "; ".join(row.notes)])
        shown.append(
            [
                row.point.base,
                "none" if row.is_base else row.point.strategy,
                f"{row.point.scale:g}",
                f"{row.realised:.2f}",
            ]
            + [count.write(getattr(row, key)) for key, count in counts.items()]
            + [time_cell(row.time, unit)]
            + [error_cell(row.errors.get(schedule), 2, with_trials=True) for schedule in schedules]
            + ["; ".join(row.notes), network.id]
        )
    text = (
        "Scale s is nominal; realised is the scale after quantisation: flops over the base's. The column time has the "
        f"{results.epoch.words} on one device: the least of n rounds to the most (n). Error is "
        "top-1 in percent by schedule: mean ± standard deviation over trials (n trials)."
    )
    titles = ["base", "strategy", "s", "realised", *(f"{key} ({unit.name})" for key, unit in counts.items())]
    titles += [f"time ({unit.name})"]
    titles += [*(f"error {schedule} (%)" for schedule in schedules), "notes", "network"]
    errors = [f"error_{name}{part}" for name in schedules for part in ("", "_std", "_trials")]
    return Table(
        f"Networks of the sweep {sweep.name}",
        [conditions(results), text, Grid(titles, shown)],
        [*SHAPE, *MEASURED, *errors, "notes"],
        lines,
    )


def published(sweep: Sweep, artefact: str, results: Results) -> Table:
    """Compare the paper's complexity of each network of Tables 5, 6 and 8 with ours."""
    lines, shown, equal = [], [], 0
    for name, row in numbers()["complexity"].items():
        exact = count(base_network(name))._asdict()
        rounded = {key: round(exact[key] / unit, 1) for key, unit in UNITS.items()}
        equal += sum(rounded[key] == row[key] for key in UNITS)
        lines.append([name, *exact.values(), *(row[key] for key in UNITS)])
        shown.append([name, *(f"{exact[key] / unit:.3f} ({row[key]:.1f})" for key, unit in UNITS.items())])
    return Table(
        "Published complexity: Tables 5, 6 and 8",
        [
            f"**{equal} of {3 * len(lines)} published numbers equal ours at one decimal.** "
            "Ours (published), for one image.",
            Grid(["network", "flops (G)", "params (M)", "acts (M)"], shown),
        ],
        ["network", *UNITS, *(f"published_{key}" for key in UNITS)],
        lines,
    )


def searches(sweep: Sweep, artefact: str, results: Results) -> Table:
    """List the candidates of each search, best first."""
    lines, shown = [], []
    keys = ("depth", "w0", "wa", "wm", "group_width", "resolution")
    paths = {name: sweep.search_record(name) for name in sweep.searches}
    # A path is missing in partial artefacts alone: else the workflow makes the record first.
    records = {name: read_record(path, "search") for name, path in paths.items() if path.exists()}
    unit = unit_of((entry["flops"] for record in records.values() for entry in record["candidates"]), COUNTS)
    for name, record in records.items():
        candidates = record["candidates"]
        for candidate in sorted(candidates, key=lambda entry: (entry["top1_error"] or math.inf, entry["network"])):
            network, error, flops = candidate["network"], candidate["top1_error"], candidate["flops"]
            is_best = network == record["network"]
            parameters = [candidate["parameters"][key] for key in keys]
            lines.append([name, network, *parameters, flops, "" if error is None else error, int(is_best)])
            outcome = "diverged" if error is None else f"{error:.2f}", "best" if is_best else "", network
            shown.append([name, *map(str, parameters), unit.write(flops), *outcome])
    text = (
        "RegNets drawn at random in a flop regime, trained once by the search's schedule; the network of the lowest "
        "error becomes a base (section 6.1, footnote 3)."
    )
    return Table(
        f"Searches of the sweep {sweep.name}",
        [text, Grid(["search", *keys, f"flops ({unit.name})", "error (%)", "", "network"], shown)],
        ["search", "network", *keys, "flops", "error", "chosen"],
        lines,
    )
