"""Measured runtime of networks: the time of one training step, and of an epoch of such steps (section 4).

Images are synthetic: a network is timed, not the loader. What disturbs a step only makes it slower, so that a network's
time is the least of its rounds. On a CPU the rounds of all networks are interleaved. No package but torch is needed.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from fastscale.execution import MemoryFormat
from fastscale.networks import Network
from fastscale.profiling import peaks
from fastscale.profiling.options import Options
from fastscale.profiling.rounds import MORE_ROUNDS, PEAK_TRIES, Visit, plan, unconfirmed
from fastscale.profiling.visits import Record, all_rounds, begin, next_round, once_more
from fastscale.records.provenance import code_hash
from fastscale.records.records import read_record, write_record
from fastscale.runtime.devices import describe
from fastscale.runtime.host_memory import keep_freed_memory

SLOW_FORMAT = 1.3  # times the step by the best memory format: no other network of the family is timed by this one
SAVED_EVERY = 5.0  # seconds: what an interruption may lose


def profile_all(
    networks: Sequence[Network],
    path: Path,
    options: Options,
    device: torch.device,
    deadline: float = math.inf,
    portions: Sequence[int] = (),
) -> None:
    """Time `networks`, and rewrite `path` with their records as they grow: an interrupted call is continued by another.

    Records in `path` of the same device, options and code are kept. A record has the times of the network's fastest
    execution, in seconds: of a step by each round, of an epoch of `images` images on this device and on several
    (measured if the machine has as many, else scaled), of a forward pass, and of a step of a tiny batch, which tells
    what launching the kernels takes. On a CPU there are more rounds where none confirms the fastest one. Memory is in
    bytes (None on a CPU). `peaks` are the device's, and in it `measured` those of the start, the middle and the end of
    each session that timed the network; `again` are the seconds of a step when the network was timed once more, as one
    of those that tell drift. After `deadline`, a time of `time.monotonic()`, no further network, or round of one, is
    begun; `portions` are those of `rounds.plan`.

    Raises:
        UserError: the record is broken, or not even two images of a network fit in the memory of the GPU.
    """
    session = _Session(networks, path, options, device)
    session.write()
    is_interleaved = options.is_interleaved(device)
    visits = plan(networks, session.done, options.rounds, is_interleaved=is_interleaved, portions=portions)
    keep_freed_memory()
    saved = time.monotonic()
    try:
        for visit in tqdm(session.visits(visits), total=len(visits), unit="visit", disable=None):
            if time.monotonic() > deadline and (is_interleaved or session.is_new(visit)):
                continue
            session.make(visit)
            if time.monotonic() > saved + SAVED_EVERY:
                session.write()
                saved = time.monotonic()
    finally:
        session.write()


class _Session:
    """One call of `profile_all`: its records by the hash of their networks, and what it has measured beside them."""

    def __init__(self, networks: Sequence[Network], path: Path, options: Options, device: torch.device):
        self.networks, self.path, self.options, self.device = networks, path, options, device
        alike = {"device": describe(device), "options": options.recorded(device), "code": code_hash("profile")}
        earlier = read_record(path, "profiles")["records"] if path.exists() else []
        coded = ({**record, "code": record["provenance"]["code"]} for record in earlier)
        is_alike = [all(record.get(key) == value for key, value in alike.items()) for record in coded]
        wanted = {network.hash for network in networks}
        self.earlier: dict[str, Record] = {
            record["network_hash"]: record
            for record, is_kept in zip(earlier, is_alike, strict=True)
            if is_kept and record["network_hash"] in wanted
        }
        self.records = dict(self.earlier)
        self.rounds = options.rounds  # that each network is to have
        self.done = {name: len(record["rounds"]) for name, record in self.earlier.items()}
        self.tries: list[dict[str, Any]] = []  # at the peaks
        self.again: dict[str, list[float]] = {}

    def visits(self, planned: Sequence[Visit]) -> Iterator[Visit]:
        """Yield the planned visits, then those that confirm the fastest round of networks, where a round is a visit."""
        yield from planned
        if self.options.is_interleaved(self.device):
            for number in range(self.options.rounds, self.options.rounds + MORE_ROUNDS):
                self.rounds = number + 1
                times = {name: record["rounds"] for name, record in self.records.items()}
                yield from unconfirmed(self.networks, times, number)

    def is_new(self, visit: Visit) -> bool:
        """Tell whether a visit adds rounds to a record."""
        return visit is not None and len(self._record(visit)["rounds"]) < self.rounds

    def make(self, visit: Visit) -> None:
        """Measure what a visit is for."""
        if visit is None:
            self.tries.append(peaks.measure(self.device))
            for name in self.records:
                self._put_peaks(name)
        elif self.is_new(visit):
            if self.options.is_interleaved(self.device):
                record = next_round(self._record(visit), visit, self.options, self.device)
            else:
                options = self.options._replace(formats=self._formats(visit.family))
                record = all_rounds(self._record(visit), visit, options, self.device)
            self.records[visit.hash] = record
            self._put_peaks(visit.hash)
        else:
            record, again = self.records[visit.hash], self.again.setdefault(visit.hash, [])
            again.append(once_more(record, visit, self.options, self.device))
            now = [min(again)] if self.options.is_interleaved(self.device) else again  # one round alone says little
            self.records[visit.hash] = {**record, "again": [*self.earlier.get(visit.hash, {}).get("again", []), *now]}

    def write(self) -> None:
        """Write the records, in the order of the networks."""
        records = [self.records[network.hash] for network in self.networks if network.hash in self.records]
        write_record(self.path, {"kind": "profiles", "records": records})

    def _record(self, network: Network) -> Record:
        return self.records.get(network.hash) or begin(network, self.options, self.device)

    def _formats(self, family: str) -> tuple[MemoryFormat, ...]:
        """List the memory formats to time: without those that took far longer for a network of the family."""
        slow = set()
        for network in self.networks:
            if network.family == family and network.hash in self.records:
                timed = [each for each in self.records[network.hash]["tried"] if "gap" not in each]
                least = {each["memory_format"]: _median(each) for each in sorted(timed, key=_median, reverse=True)}
                slow |= {name for name, seconds in least.items() if seconds >= SLOW_FORMAT * min(least.values())}
        return tuple(each for each in self.options.formats if each not in slow)

    def _put_peaks(self, name: str) -> None:
        """Put the peaks of earlier sessions and of this one into a record that this session adds rounds to."""
        if self.done.get(name, 0) < self.options.rounds:
            earlier = self.earlier.get(name, {}).get("peaks", {}).get("measured", [])
            tries = PEAK_TRIES if self.options.is_interleaved(self.device) else 1
            mine = [peaks.best(self.tries[i : i + tries]) for i in range(0, len(self.tries), tries)]
            measured = [*earlier, *mine]
            self.records[name] = {**self.records[name], "peaks": {**peaks.best(measured), "measured": measured}}


def _median(timing: Mapping[str, Any]) -> float:
    """Return the median seconds of a step."""
    return float(timing["step_seconds"]["median"])
