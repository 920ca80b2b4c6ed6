"""The Slurm cluster that this process submits to."""

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any

from . import slurm


class Cluster:
    """A Slurm cluster. Questions to Slurm are repeated until it answers, and each warning is given once."""

    def __init__(self, warn: Callable[[str], None], wait: Callable[[], Any]):
        """Give warnings to `warn`, and call `wait` before each repetition of a question to Slurm."""
        self.warn, self.wait = warn, wait
        self.warnings: set[str] = set()  # all that were given

    @cached_property
    def configuration(self) -> Mapping[str, str]:
        """Return Slurm's configuration; empty where Slurm does not show it."""
        try:
            return slurm.configuration()
        except slurm.CommandError:
            return {}

    @property
    def name(self) -> str | None:
        """Return the cluster's name and the address of its controller; None where Slurm does not say."""
        settings = self.configuration
        address = f"{settings.get('SlurmctldHost[0]')}:{settings.get('SlurmctldPort')}"
        return f"{settings['ClusterName']} at {address}" if "ClusterName" in settings else None

    @property
    def largest_array(self) -> int | None:
        """Return how many jobs an array may have; None where Slurm does not say."""
        limit = self.configuration.get("MaxArraySize", "")
        return max(1, int(limit)) if limit.isdecimal() else None

    def jobs(self) -> dict[str, slurm.Job]:
        """List all jobs of this user. Wait until Slurm answers: a job that is not listed might be submitted twice."""
        while True:
            try:
                return slurm.squeue()
            except slurm.CommandError as error:
                self.warn(f"Slurm does not say which jobs there are ({error}); waiting until it does.")
                self.wait()

    def cancel(self, ids: Collection[str]) -> None:
        """Cancel jobs. Where that fails, warn; the caller tries again at the next poll."""
        try:
            slurm.scancel(ids)
        except slurm.CommandError as error:
            self.warn_once(f"Slurm jobs cannot be cancelled now ({error}); this is tried again.")

    def warn_once(self, message: str) -> None:
        """Give a warning, unless it was given before."""
        if message not in self.warnings:
            self.warnings.add(message)
            self.warn(message)
