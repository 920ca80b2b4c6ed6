"""Records of networks: descriptions and counts."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastscale.errors import UserError
from fastscale.networks import Network
from fastscale.networks.complexity import count
from fastscale.records.records import REMEDY, read_record, write_record


def network_record(network: Network) -> dict[str, Any]:
    """Return a network's description, identity and exact counts as plain data."""
    return {
        "id": network.id,
        "network_hash": network.hash,
        "network": network.to_dict(),
        "depths": network.depths,
        "widths": network.widths,
        "group_widths": network.group_widths,
        "resolution": network.resolution,
        **count(network)._asdict(),
    }


def write_networks(path: Path, networks: Iterable[Network]) -> None:
    """Write a networks record."""
    write_record(path, {"kind": "networks", "networks": list(map(network_record, networks))})


def read_networks(path: Path) -> list[Network]:
    """Read the networks of a networks record.

    Raises:
        UserError: the record is missing or broken, or the hash of a network is not that of its description.
    """
    record = read_record(path, "networks")
    try:
        networks = [Network.from_dict(entry["network"]) for entry in record["networks"]]
        hashes = [entry["network_hash"] for entry in record["networks"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} describes no networks ({error!r}); {REMEDY}") from None
    if edited := [network.id for network, recorded in zip(networks, hashes, strict=True) if network.hash != recorded]:
        raise UserError(f"{path} was edited: the description of {edited[0]} has another hash; {REMEDY}")
    return networks
