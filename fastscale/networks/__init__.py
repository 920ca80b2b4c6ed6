"""What a network is, and the families and bases that networks come from. Pure Python: no torch."""

from fastscale.networks.bases import DERIVATIONS, base_network, known_bases, multiply
from fastscale.networks.families import FAMILIES
from fastscale.networks.network import BLOCKS, Block, Network, Stage, Stem, group_compatible, halved, is_consistent

__all__ = [
    "BLOCKS",
    "DERIVATIONS",
    "FAMILIES",
    "Block",
    "Network",
    "Stage",
    "Stem",
    "base_network",
    "group_compatible",
    "halved",
    "is_consistent",
    "known_bases",
    "multiply",
]
