"""Made-up worlds in which it is known which claims are true: what a sweep would measure there, with noise.

A world gives every network a time and an error. In the paper's world they follow equations and numbers of the paper;
in the null world time follows activations alone and error follows flops alone, so that no strategy and no family is
more accurate than another. `rates` measures many sweeps in a world, and counts how often each claim holds or fails.
"""

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from math import log2
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from fastscale.analysis import claims
from fastscale.analysis.claims.claim import Finding, doubts
from fastscale.analysis.claims.evidence import Evidence
from fastscale.analysis.rendering.table import Grid, markdown_grid
from fastscale.analysis.results.noise import Noise, time_spread
from fastscale.analysis.results.published import published
from fastscale.analysis.results.reading import Error, Time
from fastscale.analysis.results.results import Results, Row, load
from fastscale.networks import known_bases
from fastscale.sweep.sweep import Sweep

ROOT = Path(__file__).parent.parent
ROUNDS, TRIALS, IMAGES = 5, 3, 50_000
NONE = 1e-3  # a difference, in points or as a logarithm, that is none
PAPERS = "workflow/sweeps/imagenet.yaml"


class Truth(NamedTuple):
    """What is true of a network: seconds per epoch, and the top-1 error in percent by schedule."""

    seconds: float
    errors: Mapping[str, float]


World = Callable[[Row, Sweep], Truth]


def without_found(config: Any) -> Any:
    """Drop all parts of a configuration that name a base which a search finds."""
    match config:
        case dict():
            kept = {k: part for k, value in config.items() if "found" not in k and (part := without_found(value))}
            return kept if kept.keys() >= config.keys() & {"bases", "networks", "scale"} else None
        case list():
            return [part for value in config if (part := without_found(value))]
        case str() if "found" in config:
            return None
    return config


@cache
def counted(config: str = PAPERS) -> tuple[Sweep, Results]:
    """A sweep without its searches, counted and not measured."""
    sweep = Sweep.from_config({**without_found(yaml.safe_load((ROOT / config).read_text())), "search": {}})
    return sweep, load(sweep, "claims", "complexity")


LEVELS = {"RegNetZ": (20.8, 1.0), "EfficientNet": (21.8, 1.05), "RegNetY": (23.0, 1.25)}  # error, less per doubling
LARGEST = 96  # the largest scale of imagenet.yaml; smaller sweeps have no network that is bound by flops
LOSSES = {"w": 0.4, "d": 0.6, "r": 0.5, "dw": 0.2, "wr": 0.2, "dr": 0.3}  # of error, per doubling of flops
SCHEDULES = {"1x": 1.5, "2x": 0.0, "4x": -1.5}
FLOP_BOUND = 1.15  # times as long as by its activations takes the largest RegNetY that dWr makes, in the paper's world


def papers(row: Row, sweep: Sweep) -> Truth:
    """The paper's world: the numbers that it prints, and for other networks times and errors as it describes them.

    Time grows with activations, less for RegNetY, and the largest fast-scaled RegNetY is bound by flops.
    """
    name, strategy, s = row.point.base, row.point.strategy, row.point.scale
    definition = {**known_bases(), **sweep.bases.definitions}[name]
    if "scale" in definition:
        name, strategy, s = definition["scale"], "dWr", definition["factor"]
    family, is_g1 = row.point.network.family, "G1" in name
    level, slope = LEVELS.get(family, (17.5, 1.0))
    seconds = row.acts * (1.0 if family == "RegNetY" else 1.3)
    if family == "RegNetY" and strategy == "dWr" and row.point.scale == LARGEST:
        seconds *= FLOP_BOUND
    loss = LOSSES.get(strategy, 0) * (1.5 if is_g1 else 0.5 if "RegNet" in family and strategy == "w" else 1)
    error = level - slope * log2(row.flops / _usual_flops(sweep)) + loss * log2(s) + is_g1 / 2 - ("4GF" in name) * 0.5
    return Truth(seconds, {key: error + change for key, change in SCHEDULES.items()})


def _usual_flops(sweep: Sweep) -> float:
    """The flops of a base: 400 M in the paper, 0.1 M where images are small."""
    return 4e8 if "imagenet" in sweep.name else 1e5


def null(row: Row, sweep: Sweep) -> Truth:
    """The null world: time by activations alone, error by flops alone, whatever the schedule."""
    return Truth(float(row.acts), dict.fromkeys(SCHEDULES, 22 - log2(row.flops / _usual_flops(sweep))))


def as_published(row: Row, sweep: Sweep) -> Truth | None:
    """The published numbers alone: networks of which the paper prints nothing are not measured."""
    paper = published(row.point.network)
    return Truth(60 * paper.time, {key: mean for key, (mean, _) in paper.errors.items()}) if paper else None


def measured(world: World, config: str = PAPERS, noise: float = 0.0, seed: int = 0, trials: int = TRIALS) -> Evidence:
    """Measure a sweep in a world: each round and each trial is off by a relative, normal `noise`."""
    sweep, results = counted(config)
    generator = np.random.default_rng(seed)
    rows: dict[str, Row] = {}
    for row in reversed(results.rows):  # points of one network have one record: that of its first point
        if truth := world(row, sweep):
            rounds = truth.seconds * np.exp(noise * generator.standard_normal(ROUNDS))
            time = Time(
                tuple(map(float, rounds)), 128, "abacus", memory=truth.seconds, inference=float(min(rounds)) / 3
            )
            errors = {}
            for key, mean in truth.errors.items():
                found = mean * (1 + noise * generator.standard_normal(trials))
                errors[key] = Error(float(found.mean()), float(found.std(ddof=1)), trials)
            row = replace(row, time=time, errors=errors)
        rows[row.point.network.id] = row
    records = [{"rounds": row.time.rounds} for row in rows.values() if row.time]
    shown = tuple(replace(rows[row.point.network.id], point=row.point) for row in results.rows)
    measured = {"time_spread": time_spread(records), "noise": Noise(), "val_images": IMAGES}
    return Evidence(sweep, replace(results, rows=shown, **measured))


def findings(evidence: Evidence) -> dict[str, Finding]:
    """Judge each claim that is measured, by its text."""
    known = doubts(evidence)
    every = (claim for part in claims.PARTS.values() for claim in part if claim.kind != "counted")
    return {claim.text: claim.find(evidence, known) for claim in every}


def rates(world: World, config: str, noise: float, sweeps: int = 200, trials: int = TRIALS) -> dict[str, Counter[str]]:
    """Count the verdicts of each claim over many sweeps."""
    counts: dict[str, Counter[str]] = {}
    for seed in range(sweeps):
        for text, finding in findings(measured(world, config, noise, seed, trials)).items():
            counts.setdefault(text, Counter())[finding.verdict] += 1
    return counts


TEXT = """# Controls of the claims

Are the verdicts of the [claims page](paper.md#claims) right? In a made-up world it is known which claims are true. For
each world, {sweeps} sweeps were measured, each with its own noise, and judged by the code that judges real sweeps:

- **the paper's world**: the numbers that the paper prints; other networks are as accurate and as fast as it says. A
  claim should hold, or be undecided where noise hides it.
- **the null world**: time follows activations alone, and error follows flops alone. No strategy and no family is more
  accurate than another at equal flops. What claims such a difference should hold in at most 5 % of the sweeps. Claims
  that are true here as well, in brackets, may hold.

Noise of 2 % means that each round of a timing, and each trial of an error, is off by 2 % (standard deviation); the
{images:,} validation images are a sample. Each cell says in how many of the {sweeps} sweeps the claim held / failed; in
the others it was undecided. A dash: the sweep does not ask for the claim. `make controls` writes this page;
`tests/test_claims.py` asserts what should be.
"""
HEADER = ("claim", "paper's world, no noise", "2 %", "8 %", "null world, 2 %")


def page(sweeps: int) -> str:
    """Write the page of the docs: how often each claim holds and fails in each world."""
    parts = [TEXT.format(sweeps=sweeps, images=IMAGES)]
    for title, config, trials in (("The paper's sweep", PAPERS, TRIALS), ("The default sweep", "config.yaml", 2)):
        worlds = [(papers, 0.02), (papers, 0.08), (null, 0.02)]
        exact, nothing = (findings(measured(world, config, trials=trials)) for world in (papers, null))
        found = [rates(world, config, noise, sweeps, trials) for world, noise in worlds]
        lines = []
        for text, finding in exact.items():
            cells = [f"{counts[text]['holds']} / {counts[text]['fails']}" for counts in found]
            cells[2] = cells[2] if nothing[text].claim.text in differences(nothing) else f"({cells[2]})"
            lines.append([text, finding.verdict, *(cells if finding.is_measured else ["—"] * 3)])
        parts += [f"## {title}, {trials} trials", markdown_grid(Grid(HEADER, lines))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def differences(found: Mapping[str, Finding]) -> set[str]:
    """Name the claims of a difference that is none in a world without noise."""
    return {
        text
        for text, finding in found.items()
        if finding.claim.bound.side != "within"
        and any(abs(group.estimate.value - group.limit) < NONE for group in finding.groups)
    }


if __name__ == "__main__":
    (ROOT / "docs/controls.md").write_text(page(int(sys.argv[1])))
