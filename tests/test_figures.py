"""Figures as their readers see them: panels, ticks, legends, bars and published numbers, on made-up records."""

import re
from itertools import chain
from pathlib import Path
from pkgutil import resolve_name

import pytest
import yaml
from made_up import write_records
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from fastscale.analysis import aggregate
from fastscale.analysis.rendering import style
from fastscale.analysis.rendering.pages import latex_table
from fastscale.analysis.rendering.units import COUNTS, TIMES, number, unit_of
from fastscale.analysis.results.published import numbers
from fastscale.analysis.results.results import load
from fastscale.records.records import read_record, write_record
from fastscale.sweep.catalogue import ARTEFACTS
from fastscale.sweep.expansion import FIXED
from fastscale.sweep.sweep import Sweep

CONFIG = yaml.safe_load((Path(__file__).parent.parent / "config.yaml").read_text())


def draw(sweep: Sweep, name: str) -> Figure:
    """Draw a figure and lay it out."""
    with style.styled():
        figure = resolve_name(ARTEFACTS[name].maker)(sweep, name, load(sweep, name))
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()
    return figure


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figure]:
    """All figures of the default sweep but those of the blocks, without data, and of budgets (test_budget.py)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("records"))
        sweep = write_records(Sweep.from_config(CONFIG))
        names = [
            name for name in sweep.artefacts if ARTEFACTS[name].kind == "figure" and name not in ("fig3", "pareto")
        ]
        assert len(names) == 12
        return {name: draw(sweep, name) for name in names}


def test_panels_have_letters_titles_of_their_own_and_points(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert [title[:4] for title in titles] == [f"({letter}) " for letter in "abcdefghijk"[: len(titles)]], name
        assert len({title[4:] for title in titles}) == len(titles), name
        for axes in figure.axes if name != "learning" else ():
            assert len(points(axes)) >= 3, (name, axes.get_title(loc="left"))


def points(axes: Axes) -> set[tuple[float, float]]:
    """The points that have a marker, without the ends of bars."""
    marked = [line for line in axes.lines if line.get_marker() != "None" and not line.get_label().startswith("_")]
    return set(chain.from_iterable(zip(*line.get_data(), strict=True) for line in marked))


def test_no_legend_lies_on_a_panel(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        panels = [axes.patch.get_window_extent() for axes in figure.axes]
        own = [legend for axes in figure.axes if (legend := axes.get_legend())]
        legends = [legend.get_window_extent() for legend in (*figure.legends, *own)]
        assert legends, name
        # A point less, as a panel's own legend begins where the panel ends.
        assert not any(panel.overlaps(legend.padded(-1)) for panel in panels for legend in legends), name


def test_each_axis_has_ticks_to_read(figures: dict[str, Figure]) -> None:
    """Three or more labelled ticks in view, none with an exponent."""
    for name, figure in figures.items():
        for axes in figure.axes if name != "learning" else ():
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                ticks = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
                labels = [label.get_text() for at, label in ticks if low <= at <= high and label.get_text()]
                assert len(labels) >= 3 and not re.search(r"e[+-]?\d", " ".join(labels)), (name, axis, labels)


def test_each_base_is_drawn_once_in_a_look_of_its_own(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        for axes in figure.axes if name != "learning" else ():
            drawn = [line for line in axes.lines if line.get_label() == "base"]
            if axes.get_title(loc="left").startswith("(d) all bases"):
                continue  # there each base has the look of its own curve
            (bases,) = drawn
            assert len(set(zip(*bases.get_data(), strict=True))) == len(bases.get_xdata()), name
            others = (line for line in axes.lines if line is not bases and line.get_label() != "published")
            marked = chain.from_iterable([line.get_xydata()[i] for i in line.get_markevery() or ()] for line in others)
            assert not {*map(tuple, marked)} & {*map(tuple, bases.get_xydata())}, name


def test_each_figure_says_what_its_bars_are_and_of_how_many(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        footer = " ".join(figure.get_supxlabel().split())
        labels = {axis.get_label_text() for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)}
        if name == "learning":
            assert "Lines: mean over trials; bands: from the least to the most" in footer
            continue
        assert ("errors ± standard deviation of 2 trials" in footer) == ("top-1 error (%)" in labels), name
        times = "a time is the least of 5 rounds, its bar ends at the most"
        assert (times in footer) == any("time" in text for text in labels)
    (flops,) = re.findall(r"with g = 1 and nothing else changed: (\S+ \S+) flops", figures["fig10"].get_supxlabel())
    assert flops == "35.8 k"


def test_figure_2_shows_correlations_with_the_number_of_networks(figures: dict[str, Figure]) -> None:
    """The made-up time is linear in activations, with one slope for all bases."""
    entries = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figures["fig2"].axes]
    by_flops, _, by_acts, all_acts = entries
    assert {"dwr 1.00 (3)", "w 1.00 (3)", "all 1.00 (8)"} <= {*by_acts} and "all 1.00 (8)" not in by_flops
    assert {"EN-tiny 1.00 (8)", "RegNetY-tiny 1.00 (8)", "all 1.00 (24)"} <= {*all_acts}
    assert "RegNetY-found dWr" in [text.get_text() for text in figures["fig9"].axes[1].get_legend().get_texts()]


def test_the_pareto_front_has_what_nothing_beats(figures: dict[str, Figure]) -> None:
    axes = figures["fig9"].axes[0]
    (front,) = ({*map(tuple, line.get_xydata())} for line in axes.lines if line.get_label() == "Pareto front")
    others = points(axes)
    assert front == {(x, y) for x, y in others if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in others)}


def test_learning_curves_can_be_told_apart(figures: dict[str, Figure]) -> None:
    titles = [axes.get_title(loc="left")[4:] for axes in figures["learning"].axes]
    assert titles.index("EN-tiny, s = 4") + 1 == titles.index("EN-tiny, s = 16")
    for axes in figures["learning"].axes:
        assert re.match(r"\(\w\) \S+, s = (4|16)$", axes.get_title(loc="left"))
        looks = [(line.get_color(), line.get_linestyle()) for line in axes.lines]
        assert len(looks) == len({*looks}) >= 2 and len(axes.collections) == len(looks)  # a band for each line


def test_strategies_have_colours_of_their_own_that_are_seen_on_white() -> None:
    def contrast(color: str) -> float:
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
        return 1.05 / (sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear, strict=True)) + 0.05)

    named = [*style.STRATEGIES.values(), *style.OTHERS]
    for looks in (named, style.SERIES):
        assert len({look.color for look in looks}) == len({look.marker for look in looks}) == len(looks)
    assert all(contrast(look.color) >= 3 for look in (*named, *style.SERIES, style.BASE))


PAPER = {
    "sweep": "paper",
    "train": False,
    "data": {"kind": "fashion-mnist", "classes": 1000},  # as the paper's networks have
    "figures": {"fig1": {"bases": ["EN-B0"], "strategies": ["w", "dWr"], "scales": [1, 11]}},
    "tables": {"table5": {"networks": ["EN-B0", "EN-B4"]}},
}


@pytest.mark.parametrize(("device", "images"), [("cpu", 1281167), ("cuda", 1281167), ("cuda", 5000)])
def test_published_times_stand_beside_ours_as_device_time_and_only_those_of_gpus(
    tmp_path: Path, device: str, images: int
) -> None:
    """The paper's are of 8 GPUs, ours of one device. On a CPU they are compared by ratios alone."""
    config = {**PAPER, "results": str(tmp_path), "profile": {"images": images}}
    sweep = write_records(Sweep.from_config(config), minutes=lambda cost: cost.acts / 1e5)
    path = sweep.profile_record(FIXED)
    records = read_record(path, "profiles")["records"]
    for record in records:
        record["device"]["type"] = device
        record["images"] = images
    write_record(path, {"kind": "profiles", "records": records})
    acts, time = draw(sweep, "fig1").axes
    shown = {axes: [line for line in axes.lines if line.get_label() == "published"] for axes in (acts, time)}
    assert len(shown[acts]) == 1
    is_beside = (device, images) == ("cuda", 1281167)
    assert len(shown[time]) == is_beside
    aggregate(sweep, "table5")
    row = next(line for line in sweep.artefacts["table5"][1].read_text().splitlines() if line.startswith("| EN-B4"))
    printed = {name: numbers()["complexity"][name]["time"] for name in ("EN-B0", "EN-B4", "EN-B0->4GF")}
    if is_beside:
        assert "(hours)" in time.get_ylabel()
        hours = sorted(8 * printed[name] / 60 for name in ("EN-B0", "EN-B0->4GF"))
        assert sorted(shown[time][0].get_ydata()) == pytest.approx(hours)
        assert f"({number(8 * printed['EN-B4'] / 60)})" in row
    else:
        assert f"({number(printed['EN-B4'] / printed['EN-B0'])})" in row
    assert ("1.28 M" if images == 1281167 else "5,000") in time.get_ylabel()


def test_numbers_have_one_unit_and_no_exponent() -> None:
    hours, many = unit_of([7200, 86399, None], TIMES), unit_of([3e5, 4095783e3], COUNTS)
    assert hours.name == "hours" and hours.write(86399) == "24.0" and hours.write(None) == "—"
    assert many.name == "G" and many.write(4095783e3) == "4.10" and unit_of([], TIMES).name == "seconds"
    assert [*map(number, (0, 13612, 9.996, 0.00123, -2.5))] == ["0", "13,600", "10.0", "0.00123", "-2.50"]


def test_latex_tables_fit_on_a_page_and_have_captions_of_their_own(tmp_path: Path) -> None:
    sweep = write_records(Sweep.from_config({**CONFIG, "results": str(tmp_path), "search": {}, **without_found()}))
    words = "a rule of some length that is tested on each of many networks " * 6
    texts = {
        "long": latex_table([*"abcdefg"], [[words, "§3", words, "0.5", words, words, "holds"]] * 30, "Long", "long")
    }
    for name in ("networks", "table2", "table5", "timing", "roofline", "verdict"):
        aggregate(sweep, name)
        texts[name] = next(path for path in sweep.artefacts[name] if path.suffix == ".tex").read_text()
    assert "longtable" in texts["long"] and "longtable" not in texts["table5"]
    for name, text in texts.items():
        captions = re.findall(r"\\caption\{(.*)\}$", text, re.M)
        assert captions and len({*captions}) == len(captions) and not re.search(r"\{Table \d", text), name
        for columns in re.findall(r"\\begin\{(?:tabular|longtable)\}\{(.*)\}$", text, re.M):
            shares = [*map(float, re.findall(r"p\{([\d.]+)\\linewidth\}", columns))]
            assert sum(shares) < 1 and (len(shares) > 3 or set(columns) == {"l"}), name


def without_found() -> dict[str, object]:
    """The parts of the default sweep that name a base which a search finds, without these."""
    simple = {"bases": ["EN-tiny", "RegNetZ-tiny"], "strategies": ["w", "dwr", "dw", "dWr"]}
    define = {name: base for name, base in CONFIG["define"].items() if "found" not in name}
    return {"define": define, "figures": {"fig1": simple}, "tables": {"table5": CONFIG["tables"]["table5"]}}
