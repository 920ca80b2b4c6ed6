"""Records of networks: what they are, and what is counted of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastscale.errors import UserError
from fastscale.networks import Network
from fastscale.networks.complexity import count
from fastscale.records.records import ANEW, read_record, write_record


def network_record(network: Network) -> dict[str, Any]:
    """What is known of a network without building it: its description, its identity and its exact counts."""
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
    """Write the record of several networks."""
    write_record(path, {"kind": "networks", "networks": list(map(network_record, networks))})


def read_networks(path: Path) -> list[Network]:
    """The networks of a networks record.

    Raises:
        UserError: the record is missing or broken, or was edited: a hash is not that of its description.
    """
    record = read_record(path, "networks")
    try:
        networks = [Network.from_dict(one["network"]) for one in record["networks"]]
        hashes = [one["network_hash"] for one in record["networks"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} describes no networks ({error!r}); {ANEW}") from None
    if edited := [network.id for network, known in zip(networks, hashes, strict=True) if network.hash != known]:
        raise UserError(f"{path} was edited: the description of {edited[0]} has another hash; {ANEW}")
    return networks
