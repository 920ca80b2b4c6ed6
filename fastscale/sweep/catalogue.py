"""The catalogue of artefacts: tables, figures and the page, with the measurements that each one reads.

The workflow is planned from here, so nothing that draws is imported.
"""

from dataclasses import dataclass
from typing import Literal

Measurement = Literal["time", "error"]

SUFFIXES = {"table": ("csv", "md", "tex", "html"), "figure": ("svg", "pdf")}


@dataclass(frozen=True)
class Artefact:
    """A table, figure or page.

    `maker` is the function, as `module:name`, that makes the artefact from a sweep, the artefact's name and the
    results; it returns a table, a figure or text, and is imported only when it is called. `points` says which points
    the artefact shows: those that the configuration gives under the artefact's name ("own"), all of the sweep ("all"),
    or none. `reads` are the measurements that it shows of each point. The caption says what the artefact shows, and
    what the paper says; `of_errors` is what it adds where networks are trained. A `counted` artefact shows something
    even before anything is trained or timed; one that `needs_errors` shows nothing where a sweep trains nothing.
    """

    kind: Literal["table", "figure", "page"]
    maker: str
    points: Literal["own", "all", "none"]
    reads: tuple[Measurement, ...]
    caption: str
    of_errors: str = ""
    counted: bool = False
    needs_errors: bool = False


BOTH: tuple[Measurement, ...] = ("time", "error")


def _of_growth(caption: str) -> Artefact:
    """Return one of Tables 1 to 4, which need no measurement."""
    return Artefact("table", "fastscale.analysis.tables.growth:table", "none", (), caption, counted=True)


ARTEFACTS = {
    "claims": Artefact(
        "table",
        "fastscale.analysis.claims:table",
        "all",
        BOTH,
        "The paper's claims, what was measured for each, and whether it holds.",
    ),
    "fig1": Artefact(
        "figure",
        "fastscale.analysis.figures.curves:figure",
        "own",
        BOTH,
        "Activations and runtime of a base by four strategies. The paper: activations grow with about sqrt(s) for w "
        "and dWr, and almost with s for dwr and dw; dWr is nearly as fast as w.",
        "Above, the errors of two bases. The paper: compound and fast scaling give the lowest.",
        counted=True,
    ),
    "fig2": Artefact(
        "figure",
        "fastscale.analysis.figures.curves:fig2",
        "own",
        ("time",),
        "Runtime against flops, params and activations. The paper: for one base, the correlation (Pearson's) is "
        "0.81 with flops, 0.56 with params and 0.99 with activations for EN-B0, whatever the strategy; 0.95 with "
        "activations across bases. Beside each correlation is the number of its networks.",
    ),
    "fig3": Artefact(
        "figure",
        "fastscale.analysis.figures.blocks:fig3",
        "none",
        (),
        "The Y and Z blocks of RegNets at stride 1 and 2, drawn from the definitions that are counted and trained.",
        counted=True,
    ),
    "fig4": Artefact(
        "figure",
        "fastscale.analysis.figures.curves:figure",
        "own",
        BOTH,
        "Simple and compound scaling of an EfficientNet. The paper: w is the fastest, and the original compound rule "
        "(orig) closely matches dwr.",
        "Of these, dwr is the most accurate.",
    ),
    "fig5": Artefact(
        "figure",
        "fastscale.analysis.figures.curves:figure",
        "own",
        ("error",),
        "Simple and compound scaling of RegNets: error. The paper: as in Figure 4, dwr achieves the lowest error.",
    ),
    "fig6": Artefact(
        "figure",
        "fastscale.analysis.figures.curves:figure",
        "own",
        BOTH,
        "The family of strategies by alpha, on an EfficientNet. The paper: dWr (0.8) is nearly as fast as w.",
        "Any alpha below 1 is about as accurate, and clearly more so than w.",
    ),
    "fig7": Artefact(
        "figure",
        "fastscale.analysis.figures.curves:figure",
        "own",
        ("error",),
        "The family of strategies by alpha, on RegNets: error. The paper: dWr yields good accuracy and speed.",
    ),
    "fig8": Artefact(
        "figure",
        "fastscale.analysis.figures.curves:figure",
        "own",
        BOTH,
        "Large networks by fast scaling. The paper: all are asymptotically faster than the original EfficientNets.",
        "The ranking of families by error is the same across flop regimes, and the gap between them shrinks.",
    ),
    "fig9": Artefact(
        "figure",
        "fastscale.analysis.figures.curves:figure",
        "own",
        BOTH,
        "Large networks: runtime against activations, with fitted lines. The paper: within one base, activations "
        "predict runtime.",
        "Error against runtime, with the Pareto front: the networks than which no other is both faster and more "
        "accurate. The paper: RegNetY and RegNetZ offer the best tradeoff.",
    ),
    "fig10": Artefact(
        "figure",
        "fastscale.analysis.figures.curves:figure",
        "own",
        BOTH,
        "Group and depthwise convolutions under fast scaling. RegNetZ-G1 is RegNetZ with g = 1 and so has fewer flops: "
        "the paper's own is not known.",
        "The paper: at higher flops RegNetZ shows gains in error over RegNetZ-G1 and EfficientNet.",
    ),
    "fig11": Artefact(
        "figure",
        "fastscale.analysis.figures.curves:figure",
        "own",
        ("time",),
        "Activations and runtime of the RegNets of Figure 5. The paper: activations predict runtime, and w is fastest.",
        counted=True,
    ),
    "fig12": Artefact(
        "figure",
        "fastscale.analysis.figures.curves:figure",
        "own",
        ("time",),
        "Activations and runtime of the RegNets of Figure 7. The paper: a large alpha gives the lowest of both.",
        counted=True,
    ),
    "table1": _of_growth("Simple scaling: complexity of a stage; below, exponents as measured."),
    "table2": _of_growth(
        "Compound scaling: complexity of a stage; below, EfficientNet's own rule, and exponents as measured."
    ),
    "table3": _of_growth("Group width scaling: a group conv; below, exponents as measured."),
    "table4": _of_growth("Fast scaling: the family by alpha; below, exponents as measured."),
    "table5": Artefact(
        "table",
        "fastscale.analysis.tables.named_networks:table",
        "own",
        BOTH,
        "EfficientNets: complexity and time.",
        "Error by schedule.",
        counted=True,
    ),
    "table6": Artefact(
        "table",
        "fastscale.analysis.tables.named_networks:table",
        "own",
        BOTH,
        "RegNet baselines: complexity and time.",
        "Error by schedule.",
        counted=True,
    ),
    "table7": Artefact(
        "table",
        "fastscale.analysis.tables.named_networks:table",
        "own",
        BOTH,
        "Scaling and search. The paper: networks optimised for a regime outperform scaled ones, and a hybrid, which "
        "scales a network that was optimised at an intermediate regime, is better than scaling a small one.",
        counted=True,
    ),
    "table8": Artefact(
        "table",
        "fastscale.analysis.tables.named_networks:table",
        "own",
        BOTH,
        "Large networks: complexity and time.",
        "Error by schedule.",
        counted=True,
    ),
    "published": Artefact(
        "table",
        "fastscale.analysis.tables.sweep:published",
        "none",
        (),
        "The published flops, params and activations beside ours.",
        counted=True,
    ),
    "searches": Artefact(
        "table",
        "fastscale.analysis.tables.sweep:searches",
        "none",
        (),
        "The candidates of each random search and the one that was chosen.",
    ),
    "networks": Artefact(
        "table",
        "fastscale.analysis.tables.sweep:networks",
        "all",
        BOTH,
        "Every point of the sweep: its network and its costs.",
        "Error by schedule.",
        counted=True,
    ),
    "prediction": Artefact(
        "table",
        "fastscale.analysis.tables.prediction:table",
        "all",
        ("time",),
        "How well flops, activations and layers predict runtime. The paper: activations alone are an excellent proxy.",
    ),
    "verdict": Artefact(
        "table",
        "fastscale.analysis.tables.verdict:table",
        "all",
        ("time",),
        "Whether fast scaling holds on this device: what goes with runtime, and how much faster dWr is than dwr.",
    ),
    "timing": Artefact(
        "table",
        "fastscale.analysis.tables.timing:timing",
        "all",
        ("time",),
        "How each network is executed fastest: steps, inference, memory.",
    ),
    "roofline": Artefact(
        "table",
        "fastscale.analysis.tables.timing:roofline",
        "all",
        ("time",),
        "What bounds each network: arithmetic, memory traffic, launches or none of them. The paper: modern "
        "accelerators are bound by memory, so that activations dominate runtime.",
    ),
    "budget": Artefact(
        "table",
        "fastscale.analysis.tables.budget:table",
        "all",
        BOTH,
        "At this budget, which strategy? Error, time, memory and inference of each strategy at equal realised flops, "
        "and which differences are real.",
    ),
    "pareto": Artefact(
        "figure",
        "fastscale.analysis.figures.pareto:figure",
        "all",
        BOTH,
        "Error against runtime of each base's strategies, with the Pareto front; dotted lines are the "
        "fronts at equal flops. Bars are 95 % intervals.",
        needs_errors=True,
    ),
    "learning": Artefact(
        "figure",
        "fastscale.analysis.figures.learning:figure",
        "all",
        ("error",),
        "Validation error by epoch, a curve for each network; a panel for each base and scale.",
    ),
    "readme": Artefact(
        "page",
        "fastscale.analysis.readme:page",
        "all",
        BOTH,
        "What was run, where, when, with which versions, and links to it all.",
    ),
}


def files(name: str) -> tuple[str, ...]:
    """Return the paths of an artefact's files, relative to the sweep's folder."""
    kind = ARTEFACTS[name].kind
    return tuple(f"{kind}s/{name}.{suffix}" for suffix in SUFFIXES[kind]) if kind in SUFFIXES else ("README.md",)
