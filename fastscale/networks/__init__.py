"""Networks as data: their description, families, bases, scaling and costs. Pure Python: no torch."""

from fastscale.networks.bases import (
    Definitions,
    base_network,
    checked_definitions,
    described_network,
    known_bases,
    refuse_circle,
    unknown_base,
)
from fastscale.networks.derivations import DERIVATIONS, grown
from fastscale.networks.families import FAMILIES
from fastscale.networks.network import BLOCKS, Block, Network, Stage, Stem, group_compatible, is_consistent, output_side

__all__ = [
    "BLOCKS",
    "DERIVATIONS",
    "FAMILIES",
    "Block",
    "Definitions",
    "Network",
    "Stage",
    "Stem",
    "base_network",
    "checked_definitions",
    "described_network",
    "group_compatible",
    "grown",
    "is_consistent",
    "known_bases",
    "output_side",
    "refuse_circle",
    "unknown_base",
]
