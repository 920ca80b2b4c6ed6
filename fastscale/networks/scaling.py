"""How a network grows: strategies (Tables 1, 2 and 4 of the paper) and the quantisation of what they give.

The quantisation is that of the authors' code (pycls, models/scaler.py), and tests/authors.csv holds what theirs gives.
Ours alone: scale 1 is the base as it is, even where its sizes are no multiples; `orig`; and what is refused.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from fastscale.errors import UserError
from fastscale.networks import Network, Stage, group_compatible

LARGEST_SCALE = 1e6  # beyond it, and below its inverse, a scale is a mistake; a search for flops gives up there

THIRD, HALF = Fraction(1, 3), Fraction(1, 2)

# EfficientNet's own compound rule: d, w and r times these at each step (Tan and Le 2019, section 3.4 of the paper).
ORIG_STEP = {"depth": 1.2, "width": 1.1, "resolution": 1.15}
ORIG_FLOPS = ORIG_STEP["depth"] * ORIG_STEP["width"] ** 2 * ORIG_STEP["resolution"] ** 2


@dataclass(frozen=True)
class Strategy:
    """How a growth of flops by s is spent: d' = s^e_d d, w' = sqrt(s)^e_w w, r' = sqrt(s)^e_r r (equation 5).

    For `orig` the exponents are those that its rule amounts to, and its depths are rounded up. Group widths grow with
    the width (section 3.5), but where `e_g` says otherwise: then g' = s^e_g g, and flops do not grow by s.
    """

    name: str
    e_d: Fraction
    e_w: Fraction
    e_r: Fraction
    e_g: Fraction | None = None

    @property
    def alpha(self) -> Fraction | None:
        """The member of the family of equation 4 that this strategy is, or None."""
        return self.e_w if self.name != "orig" and self.e_d == self.e_r and self.e_g is None else None

    def multipliers(self, s: float) -> tuple[float, float, float, float]:
        """What depth, width, resolution and group width are multiplied by at scale `s`."""
        e_g = self.e_w / 2 if self.e_g is None else self.e_g
        return s ** float(self.e_d), s ** float(self.e_w / 2), s ** float(self.e_r / 2), s ** float(e_g)


def compound(alpha: Fraction) -> Strategy:
    """The strategy of equation 4: e_w = alpha, and (1 - alpha) / 2 each for depth and resolution."""
    return Strategy(f"alpha={float(alpha):g}", (1 - alpha) / 2, alpha, (1 - alpha) / 2)


def _original() -> Strategy:
    share = {key: math.log(step) / math.log(ORIG_FLOPS) for key, step in ORIG_STEP.items()}
    return Strategy("orig", *(Fraction(share[key]) * k for key, k in (("depth", 1), ("width", 2), ("resolution", 2))))


NAMED = {
    strategy.name: strategy
    for strategy in (
        Strategy("d", Fraction(1), Fraction(0), Fraction(0)),
        Strategy("w", Fraction(0), Fraction(1), Fraction(0)),
        Strategy("r", Fraction(0), Fraction(0), Fraction(1)),
        Strategy("dw", HALF, HALF, Fraction(0)),
        Strategy("wr", Fraction(0), HALF, HALF),
        Strategy("dr", HALF, Fraction(0), HALF),
        Strategy("dwr", THIRD, THIRD, THIRD),
        replace(compound(Fraction(4, 5)), name="dWr"),
        _original(),
        # Table 3 with w, which scales both: the width without the group width, and the group width alone.
        Strategy("w-only", Fraction(0), Fraction(1), Fraction(0), e_g=Fraction(0)),
        Strategy("g-only", Fraction(0), Fraction(0), Fraction(0), e_g=Fraction(1)),
    )
}


def parse_strategy(text: str) -> Strategy:
    """The strategy that a user names: one of `NAMED`, or `alpha=` with a number or fraction in [0, 1].

    An alpha that has a name (1, 1/3, 0.8, 0) gives the named strategy: they are the same.

    Raises:
        UserError: an unknown name, or an alpha that is no number or outside [0, 1].
    """
    if text in NAMED:
        return NAMED[text]
    if not text.startswith("alpha="):
        raise UserError(f"unknown strategy {text!r}: allowed are {', '.join(NAMED)}, or alpha=X with X from 0 to 1")
    try:
        alpha = Fraction(text.removeprefix("alpha="))
    except (ValueError, ZeroDivisionError):
        raise UserError(f"strategy {text!r}: alpha must be a number or a fraction from 0 to 1") from None
    if not 0 <= alpha <= 1:
        raise UserError(f"strategy {text!r}: alpha must lie in [0, 1] (0 is dr, 1/3 dwr, 0.8 dWr, 1 w)")
    strategy = compound(alpha)
    return next((named for named in NAMED.values() if named.alpha == alpha), strategy)


def round_to(value: float, multiple: int) -> int:
    """Round to the nearest multiple, at least one of it; halves go to the even neighbour, as everywhere here."""
    return max(1, round(value / multiple)) * multiple


def round_group_width(g: float) -> int:
    """Round to a whole number, at least 1; then widths up to 2 are kept, up to 5 become 4, others a multiple of 8."""
    g = round_to(g, 1)
    return g if g <= 2 else 4 if g <= 5 else round_to(g, 8)


def scale(base: Network, strategy: Strategy, s: float) -> Network:
    """Scale `base` to about `s` times its flops, spent by `strategy`, quantised to what can be built.

    Depths become whole and at least 1, widths multiples of 8 and then of the group width, resolutions multiples of 4.
    Group widths grow with the width; a depthwise network stays depthwise (section 3.5). A RegNet's or ResNet's stem and
    head keep their width, an EfficientNet's are scaled. At s = 1 every strategy is the base itself.

    Raises:
        UserError: s is not from 1e-6 to 1e6, or so small that the resolution, or all depths and widths, would vanish.
    """
    if not 1 / LARGEST_SCALE <= s <= LARGEST_SCALE:
        raise UserError(
            f"scale {s!s:.20} of this {base.family}: a scale must be a positive finite number, from "
            f"{1 / LARGEST_SCALE:g} to {LARGEST_SCALE:g} (1 is the base)"
        )
    if s == 1:
        return base
    smallest, dimension, value = smallest_scale(base, strategy)
    if s < smallest:
        raise UserError(
            f"scale {s:g} by {strategy.name} is below the smallest that quantises: even {dimension} {value} of this "
            f"{base.family} would round to 0; use a scale above {smallest:.4g}"
        )
    d, w, r, g = strategy.multipliers(s)
    is_depthwise = set(base.group_widths) == {1}
    # The nine digits undo what s ** x leaves behind a whole number, so that up means up from 2.0000001, not 2 + 1e-16.
    to_depth: Callable[[float], int] = (lambda x: math.ceil(round(x, 9))) if strategy.name == "orig" else round

    def widen(stage: Stage) -> Stage:
        width, depth = round_to(stage.width * w, 8), max(1, to_depth(stage.depth * d))
        if is_depthwise:
            return replace(stage, depth=depth, width=width)
        width, group_width = group_compatible(width, stage.ratio, round_group_width(stage.group_width * g))
        return replace(stage, depth=depth, width=width, group_width=group_width)

    grown = replace(base, stages=tuple(map(widen, base.stages)), resolution=round_to(base.resolution * r, 4))
    if base.family != "EfficientNet":
        return grown
    stem = replace(base.stem, width=round_to(base.stem.width * w, 8))
    return replace(grown, stem=stem, head_width=base.head_width and round_to(base.head_width * w, 8))


def smallest_scale(base: Network, strategy: Strategy) -> tuple[float, str, int]:
    """Find the smallest scale that leaves something of `base`.

    Returns the scale, the dimension that would vanish below it, and that dimension's largest value in `base`.

    A depth or width that rounds to 0 is held at its least, 1 and 8, while the strategy makes anything else smaller.
    """
    widths = [*base.widths, *([base.stem.width, base.head_width] if base.family == "EfficientNet" else [])]
    vanishing: list[tuple[str, int, float, Fraction]]
    if strategy.e_r:
        vanishing = [("resolution", base.resolution, 2, strategy.e_r / 2)]
    else:
        vanishing = [("width", max(widths), 4, strategy.e_w / 2), ("depth", max(base.depths), 0.5, strategy.e_d)]
    # Of each dimension that shrinks: its largest value, the largest that rounds to 0, and its exponent of s.
    limits = [(min(1, zero / value) ** float(1 / e), dimension, value) for dimension, value, zero, e in vanishing if e]
    limit, dimension, value = min(limits, default=(0.0, "", 0))
    return max(limit * (1 + 1e-9), 1 / LARGEST_SCALE), dimension, value
