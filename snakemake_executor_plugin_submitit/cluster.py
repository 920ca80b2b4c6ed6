"""The Slurm that this process submits to."""

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any

from . import slurm


class Cluster:
    """Slurm, asked with patience and told of once."""

    def __init__(self, warn: Callable[[str], None], wait: Callable[[], Any]):
        """Make one that tells `warn` of troubles, and waits by `wait` before it asks again."""
        self.warn, self.wait = warn, wait
        self.told: set[str] = set()

    @cached_property
    def configuration(self) -> Mapping[str, str]:
        """Slurm's configuration; empty where it is not shown."""
        try:
            return slurm.configuration()
        except slurm.CommandError:
            return {}

    @property
    def name(self) -> str | None:
        """The cluster's name and place; None where Slurm does not say."""
        known = self.configuration
        place = f"{known.get('SlurmctldHost[0]')}:{known.get('SlurmctldPort')}"
        return f"{known['ClusterName']} at {place}" if "ClusterName" in known else None

    @property
    def largest_array(self) -> int | None:
        """How many jobs an array may have; None where Slurm does not say."""
        most = self.configuration.get("MaxArraySize", "")
        return max(1, int(most)) if most.isdecimal() else None

    def jobs(self) -> dict[str, slurm.Job]:
        """All jobs of this user, however long Slurm takes to say: one that is not known of might be submitted twice."""
        while True:
            try:
                return slurm.squeue()
            except slurm.CommandError as error:
                self.warn(f"Slurm does not say which jobs there are ({error}); waiting until it does.")
                self.wait()

    def cancel(self, ids: Collection[str]) -> None:
        """Cancel jobs. Where that fails it is told, and whoever needs them gone tries again."""
        try:
            slurm.scancel(ids)
        except slurm.CommandError as error:
            self.tell_once(f"Slurm jobs cannot be cancelled now ({error}); this is tried again.")

    def tell_once(self, message: str) -> None:
        """Warn of something that goes on for a while."""
        if message not in self.told:
            self.told.add(message)
            self.warn(message)
