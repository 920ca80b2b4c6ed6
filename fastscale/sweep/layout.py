"""Paths of a sweep's files: its records, its artefacts, and the images that it trains on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastscale.records.records import digest
from fastscale.sweep.catalogue import files


@dataclass(frozen=True)
class Layout:
    """The paths of a sweep: `folder` holds its results, `data_folder` the packed images.

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
        """Return the path of the sweep's description: its whole configuration, with all defaults filled in."""
        return self.folder / "sweep.json"

    def artefact(self, name: str) -> tuple[Path, ...]:
        """Return the paths of an artefact's files."""
        return tuple(self.folder / file for file in files(name))

    def in_scope(self, path: Path, scope: str) -> Path:
        """Return the path of an artefact's file in a scope: "partial" and "complexity" have folders of their own."""
        return path if scope == "all" else self.folder / scope / path.relative_to(self.folder)

    def search_record(self, search: str) -> Path:
        """Return the path of a search record."""
        return self.folder / "search" / f"{search}.json"

    def network_record(self, source: str) -> Path:
        """Return the path of the networks record of a source: descriptions and counts of its networks."""
        return self.folder / "networks" / f"{source}.json"

    def profile_record(self, source: str) -> Path:
        """Return the path of the profiles record of a source: timings of its networks."""
        return self.folder / "profile" / f"{source}.json"

    def train_record(self, network: str, schedule: str, trial: int | str) -> Path:
        """Return the path of the train record of one training."""
        return self.folder / "train" / network / f"{schedule}-{trial}.json"
