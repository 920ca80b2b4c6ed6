"""The errors that a sweep has measured, for advice on its bases."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from fastscale.analysis.results.budget import Budget, Curves
from fastscale.analysis.results.results import Results, load
from fastscale.analysis.tables.budget import ranking
from fastscale.errors import UserError
from fastscale.networks import Network
from fastscale.planning.device import Device
from fastscale.sweep.sweep import Sweep


@dataclass(frozen=True)
class Measured:
    """A base of a sweep, with what was measured of its strategies."""

    base: str
    sweep: Sweep
    results: Results

    @classmethod
    def read(cls, description: Path, base: str) -> "Measured":
        """Read the records that a sweep has by now.

        Raises:
            UserError: the sweep does not scale the base, or a record is broken.
        """
        sweep = Sweep.load(description)
        results = load(sweep, "budget", "partial")
        if not Curves(results).strategies(base):
            scaled = [name for name in results.bases if Curves(results).strategies(name)]
            raise UserError(
                f"the sweep {sweep.name!r} does not scale {base!r}; it scales {', '.join(scaled) or 'none'}"
            )
        return cls(base, sweep, results)

    @property
    def network(self) -> Network:
        """Return the base's network, with the classes of the sweep's data."""
        return self.sweep.bases.network(self.base)

    @property
    def strategies(self) -> list[str]:
        """List the strategies that scale the base."""
        return self._curves.strategies(self.base)

    def device(self, batch: int | None) -> Device | None:
        """Return the sweep's device, for an epoch of the sweep's; None where the sweep has timed nothing."""
        paths = [path for path in map(self.sweep.profile_record, {*self.sweep.sources.values()}) if path.exists()]
        return replace(Device.read(sorted(paths), batch), images=self.results.epoch.images) if paths else None

    def budget(self, flops: Mapping[str, float]) -> Budget:
        """Read the error of each strategy at its own number of flops."""
        return self._curves.budget(self.base, max(flops.values()), flops)

    def sentences(self, budget: Budget) -> str:
        """Say where the errors come from, and how they rank."""
        source = f"Errors are those of the sweep {self.sweep.name} ({self.results.conditions})"
        if not budget.judged:
            return f"{source}: it has none at these flops."
        return (
            f"{source}, read between its networks over log flops; ± is half of a 95 % interval over trials. "
            f"Of these networks {ranking(budget)}."
        )

    @cached_property
    def _curves(self) -> Curves:
        return Curves(self.results)
