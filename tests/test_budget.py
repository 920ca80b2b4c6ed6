"""At this budget, which strategy? Readings at equal flops, by hand; differences that are real, and such as are not."""

import csv
import json
import math
import random
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from made_up import write_records

from fastscale.analysis import aggregate
from fastscale.analysis.figures import pareto
from fastscale.analysis.rendering import style
from fastscale.analysis.rendering.cells import flops_cell
from fastscale.analysis.results.budget import Curves, read_at
from fastscale.analysis.results.estimate import combine
from fastscale.analysis.results.measurements import over_trials
from fastscale.analysis.results.noise import Noise
from fastscale.analysis.results.reading import Error
from fastscale.analysis.results.results import Results, load
from fastscale.analysis.results.uncertainty import Spread
from fastscale.cli.main import main
from fastscale.networks.complexity import Complexity, count
from fastscale.sweep.sweep import Sweep

ABOVE = {"dWr": 0.0, "dwr": 0.01, "d": 0.5, "w": 9.0}  # points of error above a line, of scaled networks
BUDGETS = (4e6, 16e6)
CONFIG = {
    "sweep": "choice",
    "data": {"kind": "fashion-mnist", "classes": 10},
    "grid": {"bases": ["EN-tiny"], "strategies": list(ABOVE), "flops": [*BUDGETS]},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A sweep in which errors fall with flops, and lie above a line by `ABOVE`; three trials differ by 0.1."""
    sweep = Sweep.from_config({**CONFIG, "results": str(tmp_path_factory.mktemp("results"))})
    above = {count(point.network): ABOVE.get(point.strategy, 0) for point in sweep.points}

    def error(cost: Complexity, trial: int) -> float:
        return 60 - 10 * math.log10(cost.flops / 6e4) + above[cost] + (trial - 2) / 10

    return write_records(sweep, error=error)


@pytest.fixture(scope="module")
def results(made: Sweep) -> Results:
    return load(made, "budget")


def with_errors(results: Results, trials: dict[str, list[float]]) -> Results:
    """The results with the errors of other trials, by the network's id."""

    def measured(values: list[float]) -> dict[str, Error]:
        std = statistics.stdev(values) if len(values) > 1 else None
        return {"1x": Error(statistics.fmean(values), std, len(values))} if values else {}

    rows = tuple(replace(row, errors=measured(trials[row.point.network.id])) for row in results.rows)
    return replace(results, rows=rows)


def lines(sweep: Sweep, artefact: str = "budget") -> list[dict[str, str]]:
    aggregate(sweep, artefact)
    with sweep.artefacts[artefact][0].open() as table:
        return list(csv.DictReader(table))


def test_a_curve_is_read_between_its_nearest_networks(results: Results) -> None:
    """Halfway in log flops both count half; 4 % beyond the last network it is on the line, 30 % beyond nothing."""
    first, second, third = results.select("EN-tiny", "w")
    rows = [replace(first, flops=100), replace(second, flops=400), replace(third, flops=1600)]
    assert read_at(rows, 200) == ((rows[0], 0.5), (rows[1], 0.5))
    assert read_at(rows, 800) == ((rows[1], pytest.approx(0.5)), (rows[2], pytest.approx(0.5)))
    assert read_at(rows, 400) == ((rows[1], 1),) and read_at(rows, 100) == ((rows[0], 1),)
    beyond = math.log(1.04) / math.log(4)
    assert read_at(rows, 1664) == ((rows[1], pytest.approx(-beyond)), (rows[2], pytest.approx(1 + beyond)))
    assert read_at(rows, 2080) == read_at(rows, 77) == read_at([], 1) == () and len(read_at(rows[:1], 104)) == 1


def test_the_table_tells_real_differences_from_those_on_these_images_and_from_noise(made: Sweep) -> None:
    """By hand, with 1000 validation images: 9 points are beyond their sampling at these errors, 0.5 are not."""
    table = lines(made)
    assert {(row["base"], float(row["budget_flops"])) for row in table} == {("EN-tiny", flops) for flops in BUDGETS}
    differences = {"dWr": "lowest", "dwr": "within noise", "d": "on these images", "w": "real"}
    for row in table:
        assert row["difference"] == differences[row["strategy"]]
        assert float(row["above_lowest"]) == pytest.approx(ABOVE[row["strategy"]], abs=0.3)
        expected = 60 - 10 * math.log10(float(row["budget_flops"]) / 6e4) + ABOVE[row["strategy"]]
        assert float(row["error"]) == pytest.approx(expected, abs=0.3) and row["trials"] == "3"
        weights = [float(part.partition("*")[2]) for part in row["networks"].split()]
        expected = 2.06 * 0.1 * math.hypot(*weights) / math.sqrt(3)  # t of 26 degrees is 2.06
        assert float(row["error_half_width"]) == pytest.approx(expected, rel=0.02)
    for flops in BUDGETS:
        at = [row for row in table if float(row["budget_flops"]) == flops]
        for row in at:
            error, seconds = float(row["error"]), float(row["epoch_seconds"])
            beaten = any(float(o["error"]) < error and float(o["epoch_seconds"]) < seconds for o in at)
            assert row["front"] == ("no" if beaten else "yes")
    page = made.artefacts["budget"][1].read_text()
    told = "within noise of it: dwr; higher on these images: d; really higher: w"
    assert f"- At 4MF dWr has the lowest error; {told}; of those not told apart from it, **dWr** is the" in page


def test_intervals_are_those_of_a_hand_calculation(results: Results) -> None:
    """Strategies that share the base: its trials count once, by the difference of its weights."""
    curves = Curves(results)
    budget = curves.budget("EN-tiny", 120e3)
    a, b = (next(offer for offer in budget.offers if offer.strategy == name) for name in ("dWr", "w"))
    base, *_ = results.select("EN-tiny")
    shares = {}
    for offer in (a, b):
        high = offer.trained[1].row
        shares[offer.strategy] = math.log(120e3 / base.flops) / math.log(high.flops / base.flops)
        assert offer.trained[0].row.point == base.point and offer.trained[1].weight == shares[offer.strategy]
        assert offer.seconds == pytest.approx(
            base.time.seconds ** (1 - shares[offer.strategy]) * high.time.seconds ** shares[offer.strategy]
        )
    spread = curves.measurements.trial_spreads[results.schedule]
    assert spread == (pytest.approx(0.1), 2 * len(results.rows))
    x, y = shares.values()
    se = 0.1 * math.sqrt(((x - y) ** 2 + x**2 + y**2) / 3)
    assert over_trials(combine((1, a.error), (-1, b.error))).spread == (pytest.approx(se), pytest.approx(spread.df))
    assert a.half_width == pytest.approx(2.1 * 0.1 * math.sqrt(((1 - x) ** 2 + x**2) / 3), rel=0.02)


@pytest.mark.parametrize(("effect", "least", "most"), [(0.0, 0, 0.07), (3.5, 0.9, 1)])
def test_noise_is_rarely_called_a_difference_and_an_effect_mostly_is(
    results: Results, effect: float, least: float, most: float
) -> None:
    """300 sweeps of four strategies, three trials of spread 1 each; w has 3.5 points more, 4.3 standard errors."""
    draw = random.Random(4)
    found = 0
    for _ in range(300):
        trials = {
            row.point.network.id: [draw.gauss(20 + effect * (row.point.strategy == "w"), 1) for _ in range(3)]
            for row in results.rows
        }
        budget = Curves(with_errors(results, trials)).budget("EN-tiny", BUDGETS[1])
        told = {offer.strategy: budget.verdict(offer) for offer in budget.offers}
        if effect:
            found += told["w"] in ("real", "on these images")
        else:
            found += not {"real", "on these images"}.isdisjoint(told.values())
    assert least <= found / 300 <= most


def test_a_strategy_is_off_the_front_for_sure_only_where_time_or_error_is_worse_beyond_noise(results: Results) -> None:
    """dwr has nearly the error of dWr, and takes longer: beyond the noise of times, within it, on a noisy device."""
    budget = Curves(results).budget("EN-tiny", BUDGETS[1])
    dwr = next(offer for offer in budget.offers if offer.strategy == "dwr")
    gap = math.log(dwr.seconds / budget.judged[0].seconds)
    noisy = Noise(peaks=2.0)
    for spread, noise, front in ((gap / 5, Noise(), "no"), (gap, Noise(), "perhaps"), (gap / 5, noisy, "unknown")):
        told = Curves(replace(results, time_spread=Spread(spread, 20), noise=noise)).budget("EN-tiny", BUDGETS[1])
        offer = next(offer for offer in told.offers if offer.strategy == "dwr")
        assert told.front(offer) == front
        ends, factor = offer.seconds_interval, math.exp(2.09 * spread)  # t of 20 degrees is 2.09
        by_hand = pytest.approx((offer.seconds / factor, offer.seconds * factor), rel=0.1)
        assert ends is None if noise is noisy else ends == by_hand


def test_gaps_are_told(results: Results) -> None:
    """A network without an error, a strategy that does not reach the budget, and a single trial."""
    ids = {row.point.network.id for row in results.rows}
    last = results.select("EN-tiny", "w")[-1].point.network.id
    gap = Curves(with_errors(results, {name: [] if name == last else [20.0, 20.2] for name in ids}))
    budget = gap.budget("EN-tiny", BUDGETS[1])
    told = {offer.strategy: budget.verdict(offer) for offer in budget.offers}
    assert told["w"] == "unknown" and "unknown" not in [told[name] for name in ("d", "dwr", "dWr")]
    beyond = gap.budget("EN-tiny", 25e6)
    assert not beyond.judged and beyond.advised is None and not any(offer.seconds for offer in beyond.offers)
    single = Curves(with_errors(results, {name: [20.0 + i] for i, name in enumerate(sorted(ids))})).budget(
        "EN-tiny", BUDGETS[1]
    )
    assert sorted(map(single.verdict, single.offers)) == ["lowest", "unknown", "unknown", "unknown"]
    assert all(offer.half_width is None for offer in single.offers)


def test_without_budgets_each_scale_gives_one_that_all_strategies_reach(made: Sweep, tmp_path: Path) -> None:
    """The least flops of the networks of a scale. A sweep that trains nothing compares times alone."""
    grid = {"bases": ["EN-tiny"], "strategies": ["d", "w"], "scales": [1, 2, 8]}
    sweep = write_records(Sweep.from_config({**CONFIG, "results": str(tmp_path), "grid": grid, "train": False}))
    flops = {s: [count(p.network).flops for p in sweep.points if p.scale == s] for s in (2, 8)}
    table = lines(sweep)
    assert sorted({float(row["budget_flops"]) for row in table}) == [min(flops[2]), min(flops[8])]
    assert all(row["epoch_seconds"] and not row["error"] and row["front"] == "unknown" for row in table)
    assert "error (%)" not in sweep.artefacts["budget"][1].read_text()
    assert "pareto" in made.artefacts and "pareto" not in sweep.artefacts
    assert "trains nothing" in sweep.needs.why_absent("pareto")


def test_the_figure_has_a_curve_per_strategy_and_the_front_of_all_networks(made: Sweep, results: Results) -> None:
    with style.styled():
        (axes,) = pareto.figure(made, "pareto", results).axes
    drawn = {line.get_label(): line for line in axes.lines} | {c.get_label(): c.lines[0] for c in axes.containers}
    minutes = {row.point.network.id: row.time.seconds / 60 for row in results.rows}
    for strategy in ABOVE:
        expected = [minutes[row.point.network.id] for row in results.select("EN-tiny", strategy)]
        assert list(drawn[strategy].get_xdata()) == pytest.approx(expected)
    places = {(row.time.seconds / 60, results.error(row).mean) for row in results.rows}
    front = sorted(p for p in places if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in places))
    assert pytest.approx(np.array(front)) == np.array(drawn["Pareto front"].get_data()).T
    assert {text.get_text() for text in axes.texts} == {"4MF", "16MF"}
    assert axes.get_xlabel() == "time for 1.28 M images (minutes)"


def test_advice_gives_the_error_that_a_sweep_has_measured(made: Sweep, tmp_path: Path) -> None:
    """At the flops of each advised network, by the line of errors; no error of a strategy that was not trained."""
    ran = CliRunner().invoke(main, ["advise", "EN-tiny", "--flops", "4MF", "--sweep", str(made.description), "--json"])
    assert ran.exit_code == 0, ran.output
    advised = {point["strategy"]: point for point in json.loads(ran.stdout)["frontier"]}
    assert {"alpha=1/2", *ABOVE} <= advised.keys() and advised["d"]["alpha"] is None
    for strategy, point in advised.items():
        assert point["flops"] <= 4e6 and (point["error"] is None) == (strategy not in ABOVE)
        if strategy in ABOVE:
            expected = 60 - 10 * math.log10(point["flops"] / 6e4) + ABOVE[strategy]
            assert point["error"] == pytest.approx(expected, abs=0.4) and 0.05 < point["error_half_width"] < 0.15
    text = CliRunner().invoke(main, ["advise", "EN-tiny", "--flops", "4MF", "--sweep", str(made.description)]).stdout
    assert (
        "Of these networks " in text and "really higher: w" in text and "Errors are those of the sweep choice" in text
    )
    refused = CliRunner().invoke(main, ["advise", "EN-B0", "--flops", "4GF", "--sweep", str(made.description)])
    assert "the sweep 'choice' does not scale 'EN-B0'; it scales EN-tiny" in refused.output


def test_flops_are_written_as_configurations_do() -> None:
    assert (flops_cell(16e9), flops_cell(4.12e6), flops_cell(94836)) == ("16GF", "4.12MF", "0.0948MF")
