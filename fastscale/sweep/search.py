"""Random search in the RegNet space: networks of one flop regime, of which the best becomes a base (sections 6.1, 6.4).

A RegNet has six free parameters here, resolution included. Pure Python, no torch: the DAG is planned from here.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from fastscale.errors import UserError
from fastscale.networks import FAMILIES, Network, is_consistent
from fastscale.networks.complexity import count
from fastscale.networks.families import regnet_stages

DRAWS = 100_000  # after so many the regime and the space do not go together


@dataclass(frozen=True)
class Space:
    """The RegNets among which is drawn: lowest and highest value of each parameter, and what is fixed.

    w0 and wa are drawn log-uniformly, all else uniformly. The defaults are the RegNet space of Radosavovic et al. 2020
    (section 4: w0, wa up to 256, 12 to 28 blocks, wm from 2 to 3, four stages), and resolutions around 224.
    """

    depth: tuple[int, int] = (12, 28)
    w0: tuple[int, int] = (8, 256)  # multiples of 8
    wa: tuple[float, float] = (8.0, 256.0)
    wm: tuple[float, float] = (2.0, 3.0)
    group_width: tuple[int, ...] = (4, 8, 16, 24, 32, 48, 64)
    resolution: tuple[int, int, int] = (192, 288, 16)  # lowest, highest, step
    stages: tuple[int, int] = (4, 4)
    stem_width: int = 32
    head_width: int = 0

    def draw(self, uniform: random.Random) -> dict[str, Any]:
        """One RegNet's parameters. Only `random()` is called, whose sequence Python guarantees for a seed."""
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


@dataclass(frozen=True)
class Search:
    """Draw `networks` RegNets of a `family` with `flops` in this range, train each by `schedule`, choose the best."""

    family: str
    flops: tuple[float, float]
    networks: int = 32  # footnote 3
    schedule: str = "1x"
    seed: int = 1
    space: Space = field(default_factory=Space)

    @classmethod
    def from_dict(cls, name: str, config: Mapping[str, Any]) -> "Search":
        """The search that a sweep's configuration describes under `name`.

        Raises:
            UserError: an unknown or missing key, a value out of range, or a family that is not RegNetY or RegNetZ.
        """
        # YAML takes 4e9 for text: it wants 4.0e+9.
        flops = [float(x) if isinstance(x, str) and _is_number(x) else x for x in config.get("flops", [])]
        given = {
            **config,
            **({"flops": flops} if flops else {}),
            "space": _made(f"search.{name}.space", Space, config.get("space", {})),
        }
        search = _made(f"search.{name}", cls, given)
        if search.family not in ("RegNetY", "RegNetZ"):
            raise UserError(f"search.{name}.family is {search.family!r}; allowed are RegNetY and RegNetZ")
        whole = {"networks": search.networks, "seed": search.seed + 1}
        for key, value in whole.items():
            if type(value) is not int or value < 1:
                raise UserError(f"search.{name}.{key} is {config[key]!r}; a positive whole number is needed")
        ranges = {"flops": search.flops, **{f"space.{key}": value for key, value in asdict(search.space).items()}}
        for key, value in ranges.items():
            numbers = value if isinstance(value, tuple) else (value,)
            is_range = not key.endswith(("group_width", "stem_width", "head_width"))
            if (
                not numbers
                or not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
                or (is_range and not 0 < numbers[0] <= numbers[1])
            ):
                raise UserError(
                    f"search.{name}.{key} is {value!r}; needed is a range from a low to a high number above 0"
                )
        return search

    def candidates(self, classes: int = 1000) -> tuple[Candidate, ...]:
        """The networks to be trained: distinct, in the regime, the same on every machine.

        Raises:
            UserError: too few networks of the space lie in the regime.
        """
        found: dict[str, Candidate] = {}
        for parameters in self._draws():
            if not self._is_promising(parameters):
                continue
            network = FAMILIES[self.family](**parameters).with_classes(classes)
            if self.flops[0] <= count(network).flops <= self.flops[1] and is_consistent(network):
                found.setdefault(network.hash, Candidate({"family": self.family, **parameters}, network))
                if len(found) == self.networks:
                    return tuple(found.values())
        raise UserError(
            f"{len(found)} of {self.networks} networks lie between {self.flops[0]:g} and {self.flops[1]:g} flops in "
            f"{DRAWS:,} draws of {self.family}: widen flops, or the space"
        )

    def _is_promising(self, parameters: Mapping[str, Any]) -> bool:
        """Whether to count it: it has the stages, and its later blocks' 1x1 convs alone are not too many flops."""
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
    """The index of the network with the lowest error; None is a training that diverged; of equals, the smaller one.

    Raises:
        UserError: all of them diverged.
    """
    ended = [
        (error, count(network).flops, i)
        for i, (network, error) in enumerate(zip(networks, errors, strict=True))
        if error is not None
    ]
    if not ended:
        raise UserError(f"search {name!r}: all of its {len(errors)} trainings diverged; lower the recipe's lr")
    return min(ended)[-1]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _between(uniform: random.Random, low: int, end: int) -> int:
    """A whole number from `low` to `end` - 1."""
    return low + int(uniform.random() * (end - low))


def _log_uniform(uniform: random.Random, low: float, high: float) -> float:
    return low * (high / low) ** uniform.random()


def _made(where: str, cls: type, values: Mapping[str, Any]) -> Any:
    """An instance of a dataclass from configuration, lists as tuples."""
    known = [one.name for one in fields(cls)]
    if unknown := [key for key in values if key not in known]:
        raise UserError(f"{where}: unknown key {unknown[0]!r}; allowed are {', '.join(known)}")
    try:
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
    except TypeError as error:
        raise UserError(f"{where}: {str(error).split(') ')[-1]}") from None
