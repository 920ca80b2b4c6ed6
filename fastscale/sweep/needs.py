"""The needs of a sweep's artefacts: points, measurements, searches and records."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fastscale.sweep.catalogue import ARTEFACTS, Measurement
from fastscale.sweep.expansion import Expansion
from fastscale.sweep.layout import Layout
from fastscale.sweep.selection import Selection, points, trainings


@dataclass(frozen=True)
class Needs:
    """The artefacts of a sweep, and the needs of each artefact."""

    config: Mapping[str, Any]
    layout: Layout
    expansion: Expansion

    @property
    def artefacts(self) -> dict[str, tuple[Path, ...]]:
        """Return the files of each artefact that the sweep has, by the artefact's name."""
        return {
            name: self.layout.artefact(name)
            for name, artefact in ARTEFACTS.items()
            if artefact.points != "own" or name in (*self.config["figures"], *self.config["tables"])
            if name != "searches" or self.expansion.searches
            if self._is_measured(name)
        }

    def why_absent(self, artefact: str) -> str:
        """Explain why the sweep has no artefact of that name, and what would give it one."""
        name = self.config["sweep"]
        if artefact not in ARTEFACTS:
            close = get_close_matches(artefact, self.artefacts, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            return f"unknown artefact {artefact!r}: {hint}the sweep {name!r} has {', '.join(self.artefacts)}"
        if not self._is_measured(artefact):
            return f"{artefact} shows errors, but the sweep {name!r} trains nothing (train: false)"
        if artefact == "searches":
            return f"searches shows random searches, but the sweep {name!r} has none (search)"
        part = f"{ARTEFACTS[artefact].kind}s"
        return (
            f"the sweep {name!r} does not say what {artefact} shows; add it under {part}, such as "
            f"{part}: {{{artefact}: {{bases: [EN-B0], strategies: [w]}}}}"
        )

    def reads(self, artefact: str) -> tuple[Measurement, ...]:
        """List the measurements that an artefact shows of its points; no errors where the sweep trains nothing."""
        reads = ARTEFACTS[artefact].reads
        return tuple(measurement for measurement in reads if measurement != "error" or self.config["train"])

    def _is_measured(self, artefact: str) -> bool:
        """Tell whether the sweep measures anything of what an artefact shows."""
        if ARTEFACTS[artefact].needs_errors and not self.config["train"]:
            return False
        return bool(self.reads(artefact)) or not ARTEFACTS[artefact].reads

    def selections(self, artefact: str) -> tuple[Selection, ...]:
        """List the selections that an artefact shows."""
        shows_all = ARTEFACTS[artefact].points == "all"
        return self.expansion.everything if shows_all else self.expansion.selections.get(artefact, ())

    def waiting(self, artefact: str) -> list[str]:
        """List the bases of an artefact that await a search."""
        return list(filter(self.expansion.bases.awaits_search, self._requested(artefact)))

    def searches_of(self, artefact: str) -> list[str]:
        """List the searches that must have run before an artefact can be made."""
        if artefact == "searches":
            return list(self.expansion.searches)
        searches = map(self.expansion.bases.search_of, self._requested(artefact))
        return list(dict.fromkeys(filter(None, searches)))

    def records(self, artefact: str) -> list[Path]:
        """List the paths of the records that an artefact reads, sorted."""
        reads, selections = self.reads(artefact), self.selections(artefact)
        sources = {self.expansion.sources[point.network.id] for point in points(selections)}
        paths = [self.layout.search_record(name) for name in self.searches_of(artefact)]
        paths += map(self.layout.network_record, sources)
        if "time" in reads:
            paths += map(self.layout.profile_record, sources)
        if "error" in reads:
            trials = range(1, self.config["trials"] + 1)
            pairs = trainings(selections)
            paths += [self.layout.train_record(*pair, trial) for pair in pairs for trial in trials]
        return sorted(paths)

    def candidate_records(self, search: str) -> list[Path]:
        """List the paths of the train records of a search's candidates, in the candidates' order."""
        schedule = self.expansion.searches[search].schedule
        candidates = self.expansion.candidates[search]
        return [self.layout.train_record(candidate.network.id, schedule, 1) for candidate in candidates]

    def _requested(self, artefact: str) -> list[str]:
        """List the names of the bases that the configuration requests for an artefact, each once."""
        return list(dict.fromkeys(name for selection in self.selections(artefact) for name in selection.requested))
