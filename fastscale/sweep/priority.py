"""What tells most about the strategies of a sweep: the order in which a device at hand for minutes times networks."""

from collections.abc import Iterable
from typing import NamedTuple

from fastscale.networks import Network
from fastscale.sweep.selection import Point

TELLING = ("dWr", "dwr", "w", "dw")  # the strategies of Figure 1, those that the verdict compares first
RIVALS = ("RegNetY-4GF->16GF", "EN-B4")  # a fast-scaled RegNet, and the original EfficientNet that takes about as long
WORDS = (
    "the bases that are scaled",
    f"these at their largest common scale, by {', '.join(TELLING)}",
    " and ".join(RIVALS),
    "the same strategies at the scales below",
    "other strategies and networks",
)
FIRST = 2  # groups without which nothing can be said


class Group(NamedTuple):
    """Networks that tell about as much, and in words which they are."""

    words: str
    networks: tuple[Network, ...]


def by_priority(points: Iterable[Point]) -> list[Group]:
    """Group the distinct networks of a sweep's points by what they tell, those that tell most first.

    Groups without a network are left out. Within a group the strategies have the order of `TELLING`.
    """
    points = list(points)
    scales: dict[str, dict[str, set[float]]] = {}
    for point in points:
        if point.scale != 1:
            scales.setdefault(point.base, {}).setdefault(point.strategy, set()).add(point.scale)
    common = {base: max(set.intersection(*each.values()), default=0) for base, each in scales.items()}
    ranks: dict[str, tuple[int, int]] = {}
    networks = {}
    for point in points:
        rank = (4, 0)
        if point.scale == 1:
            rank = (0 if point.base in scales else 2 if point.base in RIVALS else 4, 0)
        elif point.strategy in TELLING and point.scale <= common[point.base]:
            rank = (1 if point.scale == common[point.base] else 3, TELLING.index(point.strategy))
        networks[point.network.id] = point.network
        ranks[point.network.id] = min(rank, ranks.get(point.network.id, rank))
    ordered = sorted(networks.values(), key=lambda network: ranks[network.id])
    groups = [
        Group(words, tuple(network for network in ordered if ranks[network.id][0] == i))
        for i, words in enumerate(WORDS)
    ]
    return [group for group in groups if group.networks]
