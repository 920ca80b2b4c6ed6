"""The description of a network, frozen: it is what all other modules count, build, time and train."""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, NamedTuple

Activation = Literal["relu", "silu"]


class Block(NamedTuple):
    """The traits of a block kind; every kind is 1x1 conv, k x k group conv, SE, 1x1 conv (Figure 3)."""

    inner_follows: Literal["input", "output"]  # the inner width is the ratio times the width of this end of the block
    projects: bool  # where input and output differ in shape, the shortcut is a 1x1 conv (else there is no shortcut)
    final_activation: bool  # an activation follows the sum
    always_expands: bool  # the first 1x1 conv exists even at ratio 1
    whole: Callable[[float], int]  # makes a width times a ratio whole: round (halves to even) or int (cuts)


# bottleneck: ResNet and RegNetY; inverted: RegNetZ; mbconv: EfficientNet.
BLOCKS = {
    "bottleneck": Block("output", projects=True, final_activation=True, always_expands=True, whole=round),
    "inverted": Block("output", projects=False, final_activation=False, always_expands=True, whole=round),
    "mbconv": Block("input", projects=False, final_activation=False, always_expands=False, whole=int),
}


@dataclass(frozen=True)
class Stem:
    """The first convolution (stride 2) and, in a ResNet, the 3x3/2 max pool behind it."""

    width: int
    kernel: int = 3
    pool: bool = False


@dataclass(frozen=True)
class Stage:
    """`depth` equal blocks; the first one has the stride and may change the width.

    `ratio` is the inner width divided by the width that the block kind names (`Block.inner_follows`; the paper's 1/b).
    `group_width` is the number of channels per group of the inner convolution (the paper's g; 1 is depthwise).
    """

    depth: int
    width: int
    stride: int = 2
    kernel: int = 3
    ratio: float = 1.0
    group_width: int = 1


@dataclass(frozen=True)
class Network:
    """A convolutional classifier, described completely: two equal descriptions are the same tensor program.

    `family` decides the weight decay and whether scaling also widens stem and head. `se_ratio` is the
    squeeze-excitation width divided by a block's input width (0: no squeeze-excitation), `head_width` the channels of a
    1x1 conv before the pooling (0: no such conv), `resolution` the side of the input in pixels.
    """

    family: str
    block: str
    activation: Activation
    se_ratio: float
    stem: Stem
    stages: tuple[Stage, ...]
    head_width: int
    resolution: int
    classes: int = 1000

    @cached_property
    def hash(self) -> str:
        """Return the SHA-256 of the description as sorted JSON: the network's identity in records."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    @cached_property
    def id(self) -> str:
        """Return a name for files. It depends on the description alone, not on the base or strategy that led to it."""
        return f"{self.family}-d{sum(self.depths)}-r{self.resolution}-{self.hash[:10]}"

    @property
    def depths(self) -> list[int]:
        """Return the number of blocks of each stage."""
        return [stage.depth for stage in self.stages]

    @property
    def widths(self) -> list[int]:
        """Return the output channels of each stage."""
        return [stage.width for stage in self.stages]

    @property
    def group_widths(self) -> list[int]:
        """Return the group width of each stage's inner convolutions."""
        return [stage.group_width for stage in self.stages]

    def inner_width(self, stage: Stage, width_in: int) -> int:
        """Return the channels of the k x k convolution in a block of `stage` with `width_in` input channels."""
        kind = BLOCKS[self.block]
        width = width_in if kind.inner_follows == "input" else stage.width
        return kind.whole(width * stage.ratio)

    def se_width(self, width_in: int) -> int:
        """Return the squeezed channels in a block with `width_in` input channels; 0 without squeeze-excitation."""
        return max(1, BLOCKS[self.block].whole(width_in * self.se_ratio)) if self.se_ratio else 0

    def stage_inputs(self) -> list[int]:
        """Return the input channels of each stage."""
        return [self.stem.width, *self.widths][: len(self.stages)]

    def with_classes(self, classes: int) -> "Network":
        """Return the same network with a classifier for `classes` classes."""
        return replace(self, classes=classes)

    def to_dict(self) -> dict[str, Any]:
        """Return the description as plain data, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Network":
        """Build the network from the result of `to_dict`."""
        stages = tuple(Stage(**stage) for stage in data["stages"])
        return cls(**{**data, "stem": Stem(**data["stem"]), "stages": stages})


def output_side(side: int, stride: int) -> int:
    """Return the output side of a padded convolution in pixels: side / stride, rounded up."""
    return -(-side // stride)


def group_compatible(width: int, ratio: float, group_width: int) -> tuple[int, int]:
    """Return the nearest (width, group width) whose inner width is a whole number of groups (section 3.5).

    First g = min(g, inner width). Then the inner width is rounded to a multiple of g. For a ratio above 1 it is rounded
    to a multiple of lcm(g, ratio), so that the width is whole too; where the ratio is 3/2, to one of lcm(g, 3).
    """
    inner = max(1, int(width * ratio))
    group_width = min(group_width, inner)
    multiple = math.lcm(group_width, Fraction(ratio).limit_denominator(100).numerator) if ratio > 1 else group_width
    inner = max(multiple, round(inner / multiple) * multiple)
    return round(inner / ratio), group_width


def is_consistent(network: Network) -> bool:
    """Tell whether each stage has positive depth and width, and inner widths that are whole numbers of groups."""
    return all(
        stage.width > 0
        and stage.depth > 0
        and network.inner_width(stage, width_in) % stage.group_width == 0
        and network.inner_width(stage, stage.width) % stage.group_width == 0
        for stage, width_in in zip(network.stages, network.stage_inputs(), strict=True)
    )
