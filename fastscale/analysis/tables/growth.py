"""Tables 1 to 4: exponents computed from the strategies, beside exponents measured on the paper's scaled bases."""

import statistics
from collections.abc import Sequence

from fastscale.analysis.rendering.table import Grid, Table
from fastscale.analysis.results import exponents, growth
from fastscale.analysis.results.results import Results
from fastscale.networks.scaling import NAMED
from fastscale.sweep.sweep import Sweep

NAMES = ("flops", "params", "acts")


def table(sweep: Sweep, artefact: str, results: Results) -> Table:
    """Make one of Tables 1 to 4, as `artefact` says."""
    lines, shown, far = [], [], []
    for row in growth.TABLES[artefact]:
        line = growth.cells(artefact, row)
        if row.strategy is None:
            lines.append([*line, "", "", "", ""])
            continue
        theory = tuple(float(row.complexity[name]) for name in NAMES)
        measured = exponents.measure(row.strategy, of_group_conv=artefact == "table3")
        off = [(m.base, name, d) for m in measured for name, d in zip(NAMES, m.deviations(theory), strict=True)]
        base, name, furthest = max(off, key=lambda item: abs(item[2]))
        means = [statistics.fmean(values) for values in zip(*(m.exponents for m in measured), strict=True)]
        lines.append([*line, *(f"{mean:.4f}" for mean in means), f"{base} {name} {furthest:+.4f}"])
        for m in measured:
            pairs = zip(m.exponents, m.deviations(theory), strict=True)
            slopes = [f"{_three(slope):.3f} ({_three(deviation):+.3f})" for slope, deviation in pairs]
            shown.append([row.name, m.base, *slopes, "—" if m.correlation is None else f"{m.correlation:.4f}"])
        far += [f"{row.name} {base}: {name}" for base, name, d in off if abs(d) > exponents.TOLERANCE]
    header = growth.header(artefact)
    cells = [growth.markdown_cells(artefact, row) for row in growth.TABLES[artefact]]
    printed = Grid(header, cells)
    if artefact == "table3":  # the paper's names of rows are not those of strategies
        here = [row.strategy or "" for row in growth.TABLES[artefact]]
        printed = Grid([*header, "strategy here"], [[*line, name] for line, name in zip(cells, here, strict=True)])
    body = [printed, *(_original() if artefact == "table2" else ()), "## Measured", _measured(artefact, far)]
    return Table(
        growth.TITLES[artefact],
        [*body, Grid(["strategy", "base", *NAMES, "least correlation"], shown)],
        [*header, *(f"measured_{name}" for name in NAMES), "furthest"],
        lines,
    )


def _original() -> tuple[str, str, Grid]:
    """List the shares of EfficientNet's own rule beside those of uniform scaling, which the paper takes for it."""
    lines = [
        [name, *(f"{float(share):.2f}" for share in (strategy.e_d, strategy.e_w, strategy.e_r))]
        for name, strategy in NAMED.items()
        if name in ("dwr", "orig")
    ]
    text = (
        "EfficientNet's own rule, orig, multiplies d, w and r by 1.2, 1.1 and 1.15 at each step, which is roughly "
        "uniform (section 3.4). These are the exponents of s in the flops that each dimension gets (equation 5):"
    )
    return "## EfficientNet's own rule", text, Grid(["strategy", "$e_d$", "$e_w$", "$e_r$"], lines)


def _three(value: float) -> float:
    """Round to three decimals; never -0."""
    return round(value, 3) + 0.0


def _measured(artefact: str, far: Sequence[str]) -> str:
    """Say what the measured exponents are, and name those that are `far` off, with the reason."""
    is_table3 = artefact == "table3"
    what = "a group conv of the last stage" if is_table3 else "the stages"
    meaning = "by how much its flops grow" if is_table3 else "the nominal scale"
    names = (
        "Rows have the paper's names: its wg is the strategy w of a configuration, its w is w-only, its g is g-only. "
    )
    text = (names if is_table3 else "") + (
        f"Measured on {what} of scaled, quantised networks: slope (measured minus theory) of log-log fits "
        f"over {len(exponents.SCALES)} scales from 1 to 64, and the least correlation of those that have a slope; s is "
        f"{meaning}. "
    )
    if not far:
        return text + "All are within 0.03 of the theory."
    why = "quantisation: widths are multiples of 8 and of g"
    return text + f"More than 0.03 off are {', '.join(far)} ({why})."
