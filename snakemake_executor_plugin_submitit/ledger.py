"""Which jobs were submitted, on disk: a main process that was killed leaves it to the next one, which adopts them.

Slurm keeps the same beside it, as long as it knows a job: the batch is named in the job's comment, and what is in the
batch stands at the end of the job's script. So what the disk has lost can be asked for, and a disk that cannot be
written for a while is no reason to end anything: what is to be noted waits in memory.
"""

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .claims import Claim
from .retry import Attempt

VERSION = 2
MANIFEST = "# snakemake-submitit: "  # how a line of a job's script begins that holds an entry
KEPT_SECONDS = 7 * 24 * 3600.0  # for which a batch is kept of which nothing is heard


@dataclass(frozen=True)
class Entry:
    """What is noted of one Slurm job: the keys of its Snakemake jobs, and the marks of the outputs that it makes.

    Its call is pickled as `pickle` until the job has an id; `claims` are the names of its claims; `newest` is when its
    inputs had been changed last, in nanoseconds.
    """

    name: str
    keys: tuple[str, ...]
    makes: tuple[str, ...]
    claims: tuple[str, ...]
    pickle: Path
    newest: int = 0
    attempt: Attempt = field(default_factory=Attempt)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "pickle": str(self.pickle)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Entry":
        """The inverse of `to_dict`."""
        tuples: dict[str, Any] = {key: tuple(map(str, data[key])) for key in ("keys", "makes", "claims")}
        pickle, newest, attempt = Path(data["pickle"]), int(data["newest"]), Attempt(**data["attempt"])
        return cls(str(data["name"]), **tuples, pickle=pickle, newest=newest, attempt=attempt)


@dataclass
class Batch:
    """Entries that are submitted by one sbatch, as an array if they are several; `slurm_id` is None before it answers.

    `cluster` is where. A batch is `abandoned` when its jobs go on in another: Slurm may yet come up with it.
    """

    name: str
    entries: tuple[Entry, ...]
    cluster: str | None = None
    slurm_id: str | None = None
    ended: set[int] = field(default_factory=set)
    abandoned: bool = False
    planned: float = field(default_factory=time.time)

    @property
    def slurm_ids(self) -> list[str]:
        """The Slurm ids of its jobs."""
        return (
            [str(self.slurm_id)]
            if len(self.entries) == 1
            else [f"{self.slurm_id}_{i}" for i in range(len(self.entries))]
        )

    def claim(self, index: int, folder: Path) -> Claim:
        """The claim of one of its jobs."""
        return Claim(folder, self.entries[index].claims, f"{self.name}:{index}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        jobs = [entry.to_dict() for entry in self.entries]
        kept = {key: getattr(self, key) for key in ("cluster", "slurm_id", "abandoned", "planned")}
        return {"version": VERSION, **kept, "jobs": jobs, "ended": sorted(self.ended)}

    @classmethod
    def from_dict(cls, name: str, data: dict[str, Any]) -> "Batch":
        """The inverse of `to_dict`.

        Raises:
            Exception: the data is damaged, or of another version.
        """
        if data["version"] != VERSION:
            raise ValueError(f"it is of version {data['version']}")
        kept = {key: data[key] for key in ("cluster", "slurm_id", "abandoned", "planned")}
        return cls(name, tuple(map(Entry.from_dict, data["jobs"])), ended=set(map(int, data["ended"])), **kept)

    def manifest(self) -> str:
        """Lines for the end of the batch's script that hold its entries."""
        return "".join(f"{MANIFEST}{json.dumps(entry.to_dict())}\n" for entry in self.entries)

    @classmethod
    def from_manifest(cls, name: str, slurm_id: str, script: str) -> "Batch | None":
        """The batch that a script belongs to; None if it says nothing of it."""
        lines = [line.removeprefix(MANIFEST) for line in script.splitlines() if line.startswith(MANIFEST)]
        try:
            entries = tuple(Entry.from_dict(json.loads(line)) for line in lines)
        except (ValueError, KeyError, TypeError):
            return None
        return cls(name, entries, slurm_id=slurm_id) if entries else None


class Ledger:
    """Batches in a folder, each a file that is written before sbatch is called and completed after it."""

    def __init__(self, folder: Path, warn: Callable[[str], None]):
        """Read what is there. Files that cannot be understood are set aside; `warn` is told of them."""
        self.folder, self.warn = folder, warn
        self.batches: dict[str, Batch] = {}
        self.unwritten: set[str] = set()  # batches whose files are older than they
        self.is_failing = False
        self.writing = threading.RLock()
        for path in sorted(folder.glob("*.json")):
            try:
                self.batches[path.stem] = Batch.from_dict(path.stem, json.loads(path.read_text()))
            except Exception as error:  # whatever its bytes lead to
                self._set_aside(path, error)

    def add(self, batch: Batch) -> None:
        """Note a batch."""
        self._note(batch)

    def submitted(self, batch: Batch, slurm_id: str, cluster: str | None) -> None:
        """Note the Slurm id of a batch."""
        batch.slurm_id, batch.cluster = slurm_id, cluster
        self._note(batch)

    def abandon(self, batch: Batch) -> None:
        """Note that a batch is not to be waited for: wherever Slurm comes up with it, it is to be cancelled."""
        batch.abandoned = True
        self._note(batch)

    def drop(self, batch: Batch) -> None:
        """Forget a batch."""
        with self.writing:
            self.batches.pop(batch.name, None)
            self.unwritten.add(batch.name)
        self.write()

    def ended(self, slurm_id: str, write: bool = True) -> None:
        """Forget a job that has ended and was told of; with the last one its batch. Written at once, or later."""
        number, _, index = slurm_id.partition("_")
        with self.writing:
            for batch in [batch for batch in self.batches.values() if batch.slurm_id == number and not batch.abandoned]:
                batch.ended.add(int(index or 0))
                if len(batch.ended) == len(batch.entries):
                    del self.batches[batch.name]
                self.unwritten.add(batch.name)
        if write:
            self.write()

    def jobs(self) -> Iterator[tuple[Batch, int, Entry]]:
        """All jobs that have an id and are not known to have ended."""
        for batch in list(self.batches.values()):
            if batch.slurm_id and not batch.abandoned:
                yield from ((batch, i, one) for i, one in enumerate(batch.entries) if i not in batch.ended)

    def numbers(self) -> dict[str, str | None]:
        """The Slurm id of each batch: None before sbatch has answered, "none" where it must not have one any more."""
        return {batch.name: "none" if batch.abandoned else batch.slurm_id for batch in self.batches.values()}

    def write(self) -> None:
        """Write what is not written yet. A disk that cannot be written is told of once, and tried again."""
        with self.writing:
            try:
                for name in sorted(self.unwritten):
                    self._write(name)
                    self.unwritten.discard(name)
            except OSError as error:
                if not self.is_failing:
                    self.warn(f"Cannot write in {self.folder} ({error.strerror}): what is to be noted there waits.")
                self.is_failing = True
                return
            if self.is_failing:
                self.warn(f"{self.folder} can be written again.")
            self.is_failing = False

    def _note(self, batch: Batch) -> None:
        with self.writing:
            self.batches[batch.name] = batch
            self.unwritten.add(batch.name)
        self.write()

    def _write(self, name: str) -> None:
        path, batch = self.folder / f"{name}.json", self.batches.get(name)
        if batch is None:
            path.unlink(missing_ok=True)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{name}.tmp"
        with temporary.open("w") as file:
            json.dump(batch.to_dict(), file)
            file.flush()
            _sync(file.fileno())
        temporary.replace(path)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            _sync(descriptor)  # the new name, too
        finally:
            os.close(descriptor)

    def _set_aside(self, path: Path, error: Exception) -> None:
        aside = path.with_suffix(".damaged")
        try:
            path.rename(aside)
        except OSError:
            aside = path
        reason = str(error) if isinstance(error, ValueError) else f"it lacks {error}"
        self.warn(
            f"{path} says nothing that can be understood of the jobs that were submitted ({reason}); it is kept as "
            f"{aside.name}, and Slurm is asked for them."
        )


def _sync(descriptor: int) -> None:
    """Let what was written reach the disk, where the file system can be asked for that."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
