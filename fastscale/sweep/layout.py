"""Where a sweep's files lie: its records, its artefacts, and the images that it trains on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastscale.records.records import digest
from fastscale.sweep.catalogue import files


@dataclass(frozen=True)
class Layout:
    """Paths of a sweep: `folder` holds its results, `data_folder` the packed images.

    Sweeps with equal data settings share a data folder.
    """

    folder: Path
    data_folder: Path

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Layout":
        """Derive the paths from a sweep's whole configuration."""
        data = config["data"]
        return cls(Path(config["results"], config["sweep"]), Path("data", f"{data['name']}-{digest(data)[:8]}"))

    @property
    def description(self) -> Path:
        """Return the path at which the sweep describes itself: its whole configuration, defaults filled in."""
        return self.folder / "sweep.json"

    def artefact(self, name: str) -> tuple[Path, ...]:
        """Return the paths of an artefact's files."""
        return tuple(self.folder / file for file in files(name))

    def in_scope(self, path: Path, scope: str) -> Path:
        """Return the path of an artefact's file that shows less than all records: in a folder of its own."""
        return path if scope == "all" else self.folder / scope / path.relative_to(self.folder)

    def search_record(self, search: str) -> Path:
        """Return the path of a search's outcome."""
        return self.folder / "search" / f"{search}.json"

    def network_record(self, source: str) -> Path:
        """Return the path of the networks that come from a source: their descriptions and counts."""
        return self.folder / "networks" / f"{source}.json"

    def profile_record(self, source: str) -> Path:
        """Return the path of the measured runtimes of the networks that come from a source."""
        return self.folder / "profile" / f"{source}.json"

    def train_record(self, network: str, schedule: str, trial: int | str) -> Path:
        """Return the path of the outcome of one training."""
        return self.folder / "train" / network / f"{schedule}-{trial}.json"
