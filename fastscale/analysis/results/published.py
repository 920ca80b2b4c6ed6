"""The paper's own numbers (published.yaml), found by the network that they belong to."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from fastscale.networks import Network, base_network

UNITS = {"flops": 1e9, "params": 1e6, "acts": 1e6}  # in which the paper's tables give them


class Published(NamedTuple):
    """What the paper prints of a network: flops, params, acts, epoch minutes on 8 V100, error by schedule."""

    name: str
    flops: float
    params: float
    acts: float
    time: float
    errors: Mapping[str, tuple[float, float]]  # mean and standard deviation over 3 trials


@cache
def numbers() -> Mapping[str, Any]:
    """All of published.yaml."""
    return yaml.safe_load(files("fastscale.analysis.results").joinpath("published.yaml").read_text())


def published(network: Network) -> Published | None:
    """What the paper prints of this network, whatever it is called here, if trained on ImageNet's 1000 classes."""
    return _by_hash().get(network.hash)


@cache
def _by_hash() -> dict[str, Published]:
    found = {}
    for name, row in numbers()["complexity"].items():
        errors = {key: tuple(value) for key, value in numbers()["error"][name].items() if value}
        counts = {key: row[key] * unit for key, unit in UNITS.items()}
        found[base_network(name).hash] = Published(name, **counts, time=row["time"], errors=errors)
    return found
