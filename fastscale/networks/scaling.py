"""Scaling of networks: strategies (Tables 1, 2 and 4 of the paper), and the quantisation of the sizes that they give.

The quantisation is that of the authors' code (pycls, models/scaler.py); tests/authors.csv holds networks that the
authors' code made. Three things differ from that code: scale 1 returns the base unchanged, even where its sizes are not
multiples; the strategy `orig` is added; and scales that make no sense are refused.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from fastscale.errors import UserError
from fastscale.networks import Network, Stage, group_compatible

LARGEST_SCALE = 1e6  # a scale above it, or below its inverse, is a mistake; scale_to_flops searches no further

THIRD, HALF = Fraction(1, 3), Fraction(1, 2)

# EfficientNet's compound rule multiplies d, w and r by these at each step (Tan and Le 2019, section 3.4 of the paper).
ORIG_STEP = {"depth": 1.2, "width": 1.1, "resolution": 1.15}
ORIG_FLOPS = ORIG_STEP["depth"] * ORIG_STEP["width"] ** 2 * ORIG_STEP["resolution"] ** 2


@dataclass(frozen=True)
class Strategy:
    """A rule to spend a growth of flops by s: d' = s^e_d d, w' = sqrt(s)^e_w w, r' = sqrt(s)^e_r r (equation 5).

    The exponents of `orig` follow from its step (`ORIG_STEP`), and its depths are rounded up. Group widths grow with
    the width (section 3.5) unless `e_g` is given: then g' = s^e_g g, and flops do not grow by s.
    """

    name: str
    e_d: Fraction
    e_w: Fraction
    e_r: Fraction
    e_g: Fraction | None = None

    @property
    def alpha(self) -> Fraction | None:
        """Return the alpha for which equation 4 gives this strategy, or None if there is none."""
        return self.e_w if self.name != "orig" and self.e_d == self.e_r and self.e_g is None else None

    def multipliers(self, s: float) -> tuple[float, float, float, float]:
        """Return the factors of depth, width, resolution and group width at scale `s`."""
        e_g = self.e_w / 2 if self.e_g is None else self.e_g
        return s ** float(self.e_d), s ** float(self.e_w / 2), s ** float(self.e_r / 2), s ** float(e_g)


def compound(alpha: Fraction) -> Strategy:
    """Return the strategy of equation 4: e_w = alpha, and e_d = e_r = (1 - alpha) / 2."""
    return Strategy(f"alpha={float(alpha):g}", (1 - alpha) / 2, alpha, (1 - alpha) / 2)


def _original() -> Strategy:
    shares = {dimension: math.log(step) / math.log(ORIG_FLOPS) for dimension, step in ORIG_STEP.items()}
    powers = {"depth": 1, "width": 2, "resolution": 2}  # of flops in each dimension
    return Strategy("orig", *(Fraction(shares[dimension]) * power for dimension, power in powers.items()))


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
        # Of Table 3: the width without the group width, and the group width alone. The strategy w above scales both.
        Strategy("w-only", Fraction(0), Fraction(1), Fraction(0), e_g=Fraction(0)),
        Strategy("g-only", Fraction(0), Fraction(0), Fraction(0), e_g=Fraction(1)),
    )
}


def parse_strategy(text: str) -> Strategy:
    """Return the strategy of a name: one of `NAMED`, or `alpha=X` with a number or fraction X in [0, 1].

    Where an alpha has a name (0 is dr, 1/3 dwr, 0.8 dWr, 1 w), return the strategy of that name.

    Raises:
        UserError: the name is unknown, or alpha is no number or outside [0, 1].
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
    """Round to the nearest positive multiple of `multiple`; halves go to the even one, as in all of this module."""
    return max(1, round(value / multiple)) * multiple


def round_group_width(g: float) -> int:
    """Round to a whole number, at least 1; then keep 1 and 2, make 3 to 5 a 4, and round others to a multiple of 8."""
    g = round_to(g, 1)
    return g if g <= 2 else 4 if g <= 5 else round_to(g, 8)


def scale(base: Network, strategy: Strategy, s: float) -> Network:
    """Scale `base` by `strategy` to about `s` times its flops, quantised to sizes that can be built.

    Depths become whole and at least 1, widths multiples of 8 and then of the group width, resolutions multiples of 4.
    Group widths grow with the width; a depthwise network stays depthwise (section 3.5). A RegNet's or ResNet's stem and
    head keep their widths, an EfficientNet's are scaled. At s = 1 every strategy returns the base itself.

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
    # Powers of s are off by about 1e-16: without round(depth, 9), a depth of 2 + 1e-16 would be rounded up to 3.
    to_depth: Callable[[float], int] = (lambda depth: math.ceil(round(depth, 9))) if strategy.name == "orig" else round

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
    """Find the smallest scale at which no dimension of `base` vanishes.

    A resolution vanishes where it rounds to 0. A depth or width that rounds to 0 becomes 1 or 8 instead, as long as the
    strategy still makes another dimension smaller.

    Returns:
        The scale, the dimension that vanishes below that scale, and the dimension's largest value in `base`.
    """
    widths = [*base.widths, *([base.stem.width, base.head_width] if base.family == "EfficientNet" else [])]
    vanishing: list[tuple[str, int, float, Fraction]]
    if strategy.e_r:
        vanishing = [("resolution", base.resolution, 2, strategy.e_r / 2)]
    else:
        vanishing = [("width", max(widths), 4, strategy.e_w / 2), ("depth", max(base.depths), 0.5, strategy.e_d)]
    # Each entry of `vanishing`: a dimension, its largest value, the largest value that rounds to 0, the exponent of s.
    limits = [
        (min(1, zero / value) ** float(1 / exponent), dimension, value)
        for dimension, value, zero, exponent in vanishing
        if exponent
    ]
    limit, dimension, value = min(limits, default=(0.0, "", 0))
    return max(limit * (1 + 1e-9), 1 / LARGEST_SCALE), dimension, value
