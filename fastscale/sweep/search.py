"""Random search in the RegNet space: the best of some networks in a range of flops becomes a base (sections 6.1, 6.4).

A RegNet has six drawn parameters here, resolution included. Pure Python, no torch: Snakemake plans jobs with it.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from fastscale.errors import UserError
from fastscale.networks import FAMILIES, Network, is_consistent
from fastscale.networks.complexity import count
from fastscale.networks.families import regnet_stages
from fastscale.validation.checks import checked
from fastscale.validation.forms import RISING, Number, Sparse, about

DRAWS = 100_000  # after these, the space is judged to have too few networks within the range of flops

Count = Annotated[int, Number(1, 10_000)]
Blocks = Annotated[int, Number(1, 1000)]
Width = Annotated[int, Number(8, 10_000)]
Slope = Annotated[float, Number(above=0, high=10_000)]
Factor = Annotated[float, Number(above=1, high=1000)]
Flops = Annotated[float, Number(above=0, high=1e15, unit="flops")]


class Space(Sparse):
    """The space of a search: the range of each drawn parameter, and the fixed widths of stem and head.

    w0 and wa are drawn log-uniformly, all other parameters uniformly. The defaults are the RegNet space of Radosavovic
    et al. 2020 (section 4: w0, wa up to 256, 12 to 28 blocks, wm from 2 to 3, four stages), and resolutions around 224.
    """

    depth: Annotated[tuple[Blocks, Blocks], RISING] = (12, 28)
    w0: Annotated[tuple[Width, Width], RISING] = (8, 256)  # multiples of 8
    wa: Annotated[tuple[Slope, Slope], RISING] = (8.0, 256.0)
    wm: Annotated[tuple[Factor, Factor], RISING] = (2.0, 3.0)
    stages: Annotated[tuple[Blocks, Blocks], RISING] = (4, 4)
    resolution: Annotated[tuple[Count, Count, Count], RISING] = (192, 288, 16)  # lowest, highest, step
    group_width: Annotated[tuple[Count, ...], Field(min_length=1)] = (4, 8, 16, 24, 32, 48, 64)
    stem_width: Count = 32
    head_width: Annotated[int, Number(0, 10_000)] = 0

    def draw(self, uniform: random.Random) -> dict[str, Any]:
        """Draw the parameters of one RegNet, only by `random()`: Python guarantees its sequence for a seed."""
        low, high, step = self.resolution
        return {
            "depth": _between(uniform, self.depth[0], self.depth[1] + 1),
            "w0": 8 * round(_log_uniform(uniform, *self.w0) / 8),
            "wa": round(_log_uniform(uniform, *self.wa), 1),
            "wm": round(self.wm[0] + (self.wm[1] - self.wm[0]) * uniform.random(), 3),
            "group_width": self.group_width[_between(uniform, 0, len(self.group_width))],
            "resolution": low + step * _between(uniform, 0, (high - low) // step + 1),
        }


class Candidate(NamedTuple):
    """A network that was drawn, and its definition as a base, in the form of bases.yaml."""

    definition: Mapping[str, Any]
    network: Network


class Search(Sparse):
    """A random search: draws `networks` RegNets with `flops` in a range, trains each by `schedule`, takes the best."""

    family: Literal["RegNetY", "RegNetZ"]
    flops: Annotated[tuple[Flops, Flops], RISING]
    networks: Count = 32  # footnote 3
    schedule: str = about("one of those of schedules", "1x")
    seed: Annotated[int, Number(0, 1_000_000_000)] = 1
    space: Space = Space()

    @classmethod
    def from_dict(cls, name: str, config: Mapping[str, Any]) -> "Search":
        """Build the search that a sweep's configuration describes as `name`.

        Raises:
            UserError: a key is unknown or missing, a value is out of range, or the family is not RegNetY or RegNetZ.
        """
        search: Search = checked(config, cls, f"search.{name}")
        return search

    def candidates(self, classes: int = 1000) -> tuple[Candidate, ...]:
        """Draw the candidates: distinct networks within the range of flops, the same on every machine.

        Raises:
            UserError: too few networks of the space lie within the range of flops.
        """
        candidates: dict[str, Candidate] = {}
        for parameters in self._draws():
            if not self._is_promising(parameters):
                continue
            network = FAMILIES[self.family](**parameters).with_classes(classes)
            if self.flops[0] <= count(network).flops <= self.flops[1] and is_consistent(network):
                candidates.setdefault(network.hash, Candidate({"family": self.family, **parameters}, network))
                if len(candidates) == self.networks:
                    return tuple(candidates.values())
        raise UserError(
            f"too few networks: only {len(candidates)} of {self.networks} networks lie between {self.flops[0]:g} and "
            f"{self.flops[1]:g} flops in {DRAWS:,} draws of {self.family}; give a wider range of flops, such as "
            "[3.8GF, 4.2GF], or a wider space"
        )

    def _is_promising(self, parameters: Mapping[str, Any]) -> bool:
        """Tell whether a draw is worth counting exactly.

        It must have a permitted number of stages, and 1x1 convs of its later blocks alone must not exceed the flops.
        """
        depths, widths = regnet_stages(*(parameters[key] for key in ("depth", "w0", "wa", "wm")))
        if not self.space.stages[0] <= len(depths) <= self.space.stages[1]:
            return False
        sides = (parameters["resolution"] / 2 ** (stage + 2) for stage in range(len(depths)))
        least = sum((d - 1) * w * w * side * side for d, w, side in zip(depths, widths, sides, strict=True))
        return least <= self.flops[1]

    def _draws(self) -> Iterator[dict[str, Any]]:
        uniform = random.Random(self.seed)
        fixed = {"stem_width": self.space.stem_width, "head_width": self.space.head_width}
        for _ in range(DRAWS):
            yield {**self.space.draw(uniform), **fixed}


def best(name: str, networks: Sequence[Network], errors: Sequence[float | None]) -> int:
    """Return the index of the network with the lowest error; of equal errors, that of the network with fewer flops.

    Errors are in percent; None means that the training diverged.

    Raises:
        UserError: all trainings diverged.
    """
    ended = [
        (error, count(network).flops, i)
        for i, (network, error) in enumerate(zip(networks, errors, strict=True))
        if error is not None
    ]
    if not ended:
        raise UserError(f"search {name!r}: all of its {len(errors)} trainings diverged; lower the recipe's lr")
    return min(ended)[-1]


def _between(uniform: random.Random, low: int, end: int) -> int:
    """Draw a whole number in [low, end)."""
    return low + int(uniform.random() * (end - low))


def _log_uniform(uniform: random.Random, low: float, high: float) -> float:
    return low * (high / low) ** uniform.random()
