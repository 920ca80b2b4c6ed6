"""What a network is: a frozen description that everything else counts, builds, times and trains."""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, NamedTuple

Activation = Literal["relu", "silu"]


class Block(NamedTuple):
    """How a block kind differs from the others; all are 1x1 conv, k x k group conv, SE, 1x1 conv (Figure 3)."""

    inner_follows: Literal["input", "output"]  # the width that the ratio multiplies to give the inner width
    projects: bool  # where input and output differ in shape: a 1x1 conv as shortcut (else no shortcut at all)
    final_activation: bool  # an activation after the sum
    always_expands: bool  # the first 1x1 conv exists even at ratio 1
    whole: Callable[[float], int]  # what makes a width times a ratio whole: round, halves to even, or int, which cuts


BLOCKS = {  # of ResNets and RegNetY, of RegNetZ, of EfficientNets
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

    `ratio` is the inner width over the width that the block kind names (the paper's 1/b), `group_width` the channels
    of a group of the inner convolution (the paper's g; 1 is depthwise).
    """

    depth: int
    width: int
    stride: int = 2
    kernel: int = 3
    ratio: float = 1.0
    group_width: int = 1


@dataclass(frozen=True)
class Network:
    """A convolutional classifier, complete: two equal networks are the same tensor program.

    `family` names the recipe and the scaling rule, `se_ratio` the squeeze-excitation width over a block's input width
    (0: none), `head_width` a 1x1 conv before the pooling (0: none), `resolution` the side of the input in pixels.
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
        """SHA-256 of the canonical description: the network's identity in records."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    @cached_property
    def id(self) -> str:
        """A name for files that depends on the network alone, whichever base and strategy led to it."""
        return f"{self.family}-d{sum(self.depths)}-r{self.resolution}-{self.hash[:10]}"

    @property
    def depths(self) -> list[int]:
        """Blocks of each stage."""
        return [stage.depth for stage in self.stages]

    @property
    def widths(self) -> list[int]:
        """Output channels of each stage."""
        return [stage.width for stage in self.stages]

    @property
    def group_widths(self) -> list[int]:
        """Group width of each stage's inner convolutions."""
        return [stage.group_width for stage in self.stages]

    def inner_width(self, stage: Stage, width_in: int) -> int:
        """Channels of the k x k convolution of a block of `stage` that is fed `width_in` channels."""
        kind = BLOCKS[self.block]
        return kind.whole((width_in if kind.inner_follows == "input" else stage.width) * stage.ratio)

    def se_width(self, width_in: int) -> int:
        """Channels inside the squeeze-excitation of a block that is fed `width_in` channels; 0 without one."""
        return max(1, BLOCKS[self.block].whole(width_in * self.se_ratio)) if self.se_ratio else 0

    def stage_inputs(self) -> list[int]:
        """Channels that enter each stage."""
        return [self.stem.width, *self.widths][: len(self.stages)]

    def with_classes(self, classes: int) -> "Network":
        """The same network with another classifier."""
        return replace(self, classes=classes)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Network":
        """The inverse of `to_dict`."""
        stages = tuple(Stage(**stage) for stage in data["stages"])
        return cls(**{**data, "stem": Stem(**data["stem"]), "stages": stages})


def halved(resolution: int, stride: int) -> int:
    """Side of the output of a padded convolution: resolution / stride, rounded up."""
    return -(-resolution // stride)


def group_compatible(width: int, ratio: float, group_width: int) -> tuple[int, int]:
    """The nearest (width, group width) in which the inner width is a whole number of groups (section 3.5).

    g = min(g, inner width), then the inner width is rounded to a multiple of g; for a ratio above 1 to one of
    lcm(g, ratio), so that the width is whole (of lcm(g, 3) where the ratio is 3/2).
    """
    inner = max(1, int(width * ratio))
    group_width = min(group_width, inner)
    multiple = math.lcm(group_width, Fraction(ratio).limit_denominator(100).numerator) if ratio > 1 else group_width
    inner = max(multiple, round(inner / multiple) * multiple)
    return round(inner / ratio), group_width


def is_consistent(network: Network) -> bool:
    """Whether each inner width is a whole number of groups and stage widths are positive."""
    inputs = [*network.stage_inputs(), 0]
    return all(
        stage.width > 0
        and stage.depth > 0
        and network.inner_width(stage, width) % stage.group_width == 0
        and network.inner_width(stage, stage.width) % stage.group_width == 0
        for stage, (width, _) in zip(network.stages, pairwise(inputs), strict=True)
    )
