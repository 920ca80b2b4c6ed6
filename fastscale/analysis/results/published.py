"""The numbers that the paper prints (published.yaml), by network."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from fastscale.networks import Network, base_network

UNITS = {"flops": 1e9, "params": 1e6, "acts": 1e6}  # the units of the paper's tables
IMAGES, DEVICES = 1281167, 8  # the published times are of an epoch of so many images on so many V100


class Published(NamedTuple):
    """The paper's numbers of a network: flops, params, acts, epoch minutes on 8 V100, error in percent by schedule."""

    name: str
    flops: float
    params: float
    acts: float
    time: float
    errors: Mapping[str, tuple[float, float]]  # mean and standard deviation over 3 trials

    @property
    def device_seconds(self) -> float:
        """Return the time of an epoch in seconds of all devices together, which stands beside ours of one device."""
        return 60 * self.time * DEVICES


@cache
def numbers() -> Mapping[str, Any]:
    """Read published.yaml, whose comments give units and sources."""
    return yaml.safe_load(files("fastscale.analysis.results").joinpath("published.yaml").read_text())


def published(network: Network) -> Published | None:
    """Find the paper's numbers of a network by its description, whatever its name; None where the paper has none."""
    return _by_hash().get(network.hash)


def are_comparable(timings: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether the paper's times may stand beside those of profile records: of GPUs, for as many images."""
    return all(timing["device"]["type"] == "cuda" and timing["images"] == IMAGES for timing in timings)


@cache
def _by_hash() -> dict[str, Published]:
    by_hash = {}
    for name, row in numbers()["complexity"].items():
        errors = {key: tuple(value) for key, value in numbers()["error"][name].items() if value}
        counts = {key: row[key] * unit for key, unit in UNITS.items()}
        by_hash[base_network(name).hash] = Published(name, **counts, time=row["time"], errors=errors)
    return by_hash
