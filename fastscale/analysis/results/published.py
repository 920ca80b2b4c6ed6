"""The numbers that the paper prints (published.yaml), by network."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from fastscale.networks import Network, base_network

UNITS = {"flops": 1e9, "params": 1e6, "acts": 1e6}  # the units of the paper's tables


class Published(NamedTuple):
    """The paper's numbers of a network: flops, params, acts, epoch minutes on 8 V100, error in percent by schedule."""

    name: str
    flops: float
    params: float
    acts: float
    time: float
    errors: Mapping[str, tuple[float, float]]  # mean and standard deviation over 3 trials


@cache
def numbers() -> Mapping[str, Any]:
    """Read published.yaml, whose comments give units and sources."""
    return yaml.safe_load(files("fastscale.analysis.results").joinpath("published.yaml").read_text())


def published(network: Network) -> Published | None:
    """Find the paper's numbers of a network by its description, whatever its name; None where the paper has none."""
    return _by_hash().get(network.hash)


@cache
def _by_hash() -> dict[str, Published]:
    by_hash = {}
    for name, row in numbers()["complexity"].items():
        errors = {key: tuple(value) for key, value in numbers()["error"][name].items() if value}
        counts = {key: row[key] * unit for key, unit in UNITS.items()}
        by_hash[base_network(name).hash] = Published(name, **counts, time=row["time"], errors=errors)
    return by_hash
