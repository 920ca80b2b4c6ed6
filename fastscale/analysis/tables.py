"""Tables as CSV (exact, for programs) and Markdown (rounded, for people)."""

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

import yaml

from fastscale.analysis.results import Results, Row
from fastscale.complexity import count
from fastscale.networks import base_network
from fastscale.records import write_text
from fastscale.sweep import Sweep


def write(sweep: Sweep, artefact: str, results: Results) -> list[Path]:
    """Write a table in each of its forms."""
    if artefact in FROM_RECORDS:
        as_csv, as_markdown = FROM_RECORDS[artefact](sweep, results)
    else:
        as_csv, as_markdown = published() if artefact == "published" else exponents(artefact)
    paths = sweep.artefacts[artefact]
    for path, text in zip(paths, (as_csv, as_markdown), strict=True):
        write_text(path, text)
    return list(paths)


def networks(sweep: Sweep, results: Results) -> tuple[str, str]:
    """Every point: what its network is, what it costs and how good it is."""
    header = [
        "network",
        "base",
        "strategy",
        "scale",
        "realised_scale",
        "resolution",
        "depths",
        "widths",
        "group_widths",
    ]
    header += ["flops", "params", "acts", "epoch_seconds", "epoch_q1", "epoch_q3", "timed_steps", "batch"]
    header += ["error", "error_std", "trials", "notes"]
    lines = []
    for row in results.rows:
        network, time, error = row.point.network, row.time, row.error
        lines.append(
            [network.id, row.point.base, row.point.strategy, f"{row.point.scale:g}", f"{row.realised:.4f}"]
            + [network.resolution, *(" ".join(map(str, v)) for v in (network.depths, network.widths))]
            + [" ".join(map(str, network.group_widths)), row.flops, row.params, row.acts]
            + ([f"{time.median:.6g}", f"{time.q1:.6g}", f"{time.q3:.6g}", time.n, time.batch] if time else [""] * 5)
            + ([f"{error.mean:.4f}", "" if error.std is None else f"{error.std:.4f}", error.n] if error else [""] * 3)
            + ["; ".join(row.notes)]
        )
    titles = ["network", "base", "strategy", "s", "realised", "flops (M)", "params (K)", "acts (K)", "epoch (min)"]
    shown = [
        [
            row.point.network.id,
            row.point.base,
            row.point.strategy,
            f"{row.point.scale:g}",
            f"{row.realised:.2f}",
            f"{row.flops / 1e6:,.3f}",
            f"{row.params / 1e3:,.1f}",
            f"{row.acts / 1e3:,.1f}",
            _time(row),
            _error(row),
            "; ".join(row.notes),
        ]
        for row in results.rows
    ]
    text = (
        f"# Networks of the sweep {sweep.name}\n\n{_conditions(results)}"
        "Scale s is nominal, realised is what quantisation makes of it: flops over the base's. Time is that of an "
        f"epoch of {sweep.config['profile']['images']:,} images: median [quartiles] (n timed steps). Error is top-1 in "
        "percent: mean ± standard deviation (n trials).\n\n" + _markdown([*titles, "error (%)", "notes"], shown)
    )
    return _csv(header, lines), text


def gain(sweep: Sweep, results: Results) -> tuple[str, str]:
    """Whether errors fall with scale: the error minus that of the base, as mean and spread over the bases."""
    base_errors = {row.point.base: row.error.mean for row in results.rows if row.is_base and row.error}
    lines, shown = [], []
    strategies = [*results.strategies, "all"]
    for strategy in strategies:
        for s in sorted({row.point.scale for row in results.rows if not row.is_base}):
            rows = [r for r in results.rows if r.point.scale == s and strategy in ("all", r.point.strategy)]
            by_base: dict[str, list[float]] = {}
            for row in rows:
                if row.error and row.point.base in base_errors:
                    by_base.setdefault(row.point.base, []).append(row.error.mean - base_errors[row.point.base])
            gains = [statistics.fmean(values) for values in by_base.values()]
            if not gains:
                continue
            mean, std = statistics.fmean(gains), statistics.stdev(gains) if len(gains) > 1 else None
            fewer = sum(value < 0 for value in gains)
            spread = "" if std is None else f"{std:.4f}"
            lines.append([strategy, f"{s:g}", f"{mean:.4f}", spread, len(gains), fewer])
            shown.append([strategy, f"{s:g}", _signed(mean, std), f"{len(gains)}", f"{fewer} of {len(gains)}"])
    text = f"# What scale gains, sweep {sweep.name}\n\n{_conditions(results)}" + _verdict(lines)
    text += (
        "Top-1 error minus the base's, in percentage points (negative: better than the base): mean ± standard "
        "deviation over n bases.\n\n" + _markdown(["strategy", "s", "error - base's", "n", "bases improved"], shown)
    )
    return _csv(["strategy", "scale", "error_minus_base", "std", "bases", "bases_improved"], lines), text


def _verdict(lines: Sequence[Sequence[object]]) -> str:
    """The answer in words: are the largest networks better than their base?"""
    if not lines:
        return "No errors were measured.\n\n"
    _, s, mean, std, n, fewer = lines[-1]
    better = "better" if float(str(mean)) < 0 else "not better"
    spread = f" (standard deviation {float(std):.2f} over the bases)" if std else ""
    return (
        f"**The largest networks (s = {s}) are {better} than their base: {float(str(mean)):+.2f} percentage points in "
        f"the mean over {n} bases and all strategies{spread}; {fewer} of {n} bases improve.**\n\n"
    )


def exponents(artefact: str) -> tuple[str, str]:
    """Tables 1 to 4: exponents computed from the strategies, and those measured on the paper's scaled bases."""
    from fastscale.analysis import exponents as algebra  # sympy
    from fastscale.analysis import growth

    names = ("flops", "params", "acts")
    lines, shown, far = [], [], []
    for row in algebra.TABLES[artefact]:
        line = algebra.cells(artefact, row)
        if row.strategy in ("none", "alpha"):  # no growth; no one strategy
            lines.append([*line, "", "", "", ""])
            continue
        theory = tuple(float(row.complexity[name]) for name in names)
        measured = growth.measure(row.strategy, of_group_convs=artefact == "table3")
        off = [(m.base, name, d) for m in measured for name, d in zip(names, m.deviations(theory), strict=True)]
        base, name, furthest = max(off, key=lambda item: abs(item[2]))
        means = [statistics.fmean(values) for values in zip(*(m.exponents for m in measured), strict=True)]
        lines.append([*line, *(f"{mean:.4f}" for mean in means), f"{base} {name} {furthest:+.4f}"])
        for m in measured:
            pairs = zip(m.exponents, m.deviations(theory), strict=True)
            shown.append([row.strategy, m.base, *(f"{found:.3f} ({deviation:+.3f})" for found, deviation in pairs)])
        far += [f"{row.strategy} {base}: {name}" for base, name, d in off if abs(d) > growth.TOLERANCE]
    header = algebra.header(artefact)
    text = f"# {algebra.TITLES[artefact]}\n\n"
    text += _markdown(header, [algebra.markdown_cells(artefact, row) for row in algebra.TABLES[artefact]])
    text += "\n" + _measured(artefact, far) + _markdown(["strategy", "base", *names], shown)
    return _csv([*header, *(f"measured_{name}" for name in names), "furthest"], lines), text


def _measured(artefact: str, far: Sequence[str]) -> str:
    """What the measured exponents are, and which are off and why."""
    what = "the group convs" if artefact == "table3" else "the stages"
    meaning = "by how much their flops grow" if artefact == "table3" else "the nominal scale"
    text = (
        f"Measured on {what} of really scaled, quantised networks: slope of log-log fits over 25 scales from 1 to 64 "
        f"(measured minus theory); s is {meaning}. "
    )
    if not far:
        return text + "All are within 0.03 of the theory.\n\n"
    why = "quantisation: widths are multiples of 8 and of g, and a group width that has reached its width stays there"
    return text + f"More than 0.03 off are {', '.join(far)} ({why}).\n\n"


def published() -> tuple[str, str]:
    """The complexity of each network of Tables 5, 6 and 8, as the paper has it and as counted here."""
    text = files("fastscale.analysis").joinpath("published.yaml").read_text()
    units = {"flops": 1e9, "params": 1e6, "acts": 1e6}
    lines, shown, equal = [], [], 0
    for name, row in yaml.safe_load(text)["complexity"].items():
        exact = count(base_network(name))._asdict()
        rounded = {key: round(exact[key] / unit, 1) for key, unit in units.items()}
        equal += sum(rounded[key] == row[key] for key in units)
        lines.append([name, *exact.values(), *(row[key] for key in units)])
        shown.append([name, *(f"{exact[key] / unit:.3f} ({row[key]:.1f})" for key, unit in units.items())])
    text = (
        "# Published complexity: Tables 5, 6 and 8\n\n"
        f"**{equal} of {3 * len(lines)} published numbers equal ours at one decimal.** Ours (published), for one "
        "image.\n\n" + _markdown(["network", "flops (B)", "params (M)", "acts (M)"], shown)
    )
    return _csv(["network", *units, *(f"published_{key}" for key in units)], lines), text


FROM_RECORDS = {"networks": networks, "gain": gain}


def _time(row: Row) -> str:
    if not row.time:
        return "—"
    median, q1, q3 = (f"{seconds / 60:.3g}" for seconds in (row.time.median, row.time.q1, row.time.q3))
    return f"{median} [{q1}, {q3}] ({row.time.n})"


def _error(row: Row) -> str:
    if not row.error:
        return "—"
    spread = "" if row.error.std is None else f" ± {row.error.std:.2f}"
    return f"{row.error.mean:.2f}{spread} ({row.error.n})"


def _signed(mean: float, std: float | None) -> str:
    return f"{mean:+.2f}" + ("" if std is None else f" ± {std:.2f}")


def _conditions(results: Results) -> str:
    stale = ""
    if results.stale:
        stale = f"**{results.stale} records are older than the code that measures; redo them to trust them.** "
    return f"{results.conditions}. {stale}\n\n".replace(". \n", ".\n") if results.conditions or stale else ""


def _csv(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()


def _markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---"] * len(header)
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, rule, *lines))
