"""The ledger: a record on disk of the jobs that were submitted, by which the next main process adopts them.

Slurm keeps a copy of the record, as long as it knows a job: the job's comment names the batch, and the end of the job's
script lists the batch's entries. So entries that the disk has lost can be read from Slurm. While the disk cannot be
written, changes of the ledger wait in memory, and no job is ended for that reason.
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
MANIFEST = "# snakemake-submitit: "  # begins each line of a job's script that holds an entry
KEPT_SECONDS = 7 * 24 * 3600.0  # for which a batch that Slurm does not know is kept


@dataclass(frozen=True)
class Entry:
    """The record of one Slurm job.

    - `name`: the job's name for Slurm
    - `keys`: the keys of its Snakemake jobs
    - `makes`: the marks of its outputs
    - `claims`: the names of its claim files
    - `pickle`: the file of its call until the job has an id
    - `newest`: the latest modification time of its inputs, in nanoseconds since the epoch
    - `attempt`: how often the job was submitted before, and with how much memory
    """

    name: str
    keys: tuple[str, ...]
    makes: tuple[str, ...]
    claims: tuple[str, ...]
    pickle: Path
    newest: int = 0
    attempt: Attempt = field(default_factory=Attempt)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {**asdict(self), "pickle": str(self.pickle)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Entry":
        """Make an entry from the data of `to_dict`."""
        tuples: dict[str, Any] = {key: tuple(map(str, data[key])) for key in ("keys", "makes", "claims")}
        pickle, newest, attempt = Path(data["pickle"]), int(data["newest"]), Attempt(**data["attempt"])
        return cls(str(data["name"]), **tuples, pickle=pickle, newest=newest, attempt=attempt)


@dataclass
class Batch:
    """Entries that are submitted by one call of sbatch, as an array if there are several.

    - `cluster`: the cluster that they were submitted to
    - `slurm_id`: the number of the job or the array; None before sbatch has answered
    - `ended`: the indices of the entries whose jobs have ended
    - `abandoned`: the jobs are to be submitted in another batch; if Slurm lists this one later, it is cancelled
    - `planned`: the time of the submission, in seconds since the epoch
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
        """Return the Slurm ids of the batch's jobs."""
        return (
            [str(self.slurm_id)]
            if len(self.entries) == 1
            else [f"{self.slurm_id}_{i}" for i in range(len(self.entries))]
        )

    def claim(self, index: int, folder: Path) -> Claim:
        """Return the claim of one of the batch's jobs; `folder` holds the claim files."""
        return Claim(folder, self.entries[index].claims, f"{self.name}:{index}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        jobs = [entry.to_dict() for entry in self.entries]
        fields = {key: getattr(self, key) for key in ("cluster", "slurm_id", "abandoned", "planned")}
        return {"version": VERSION, **fields, "jobs": jobs, "ended": sorted(self.ended)}

    @classmethod
    def from_dict(cls, name: str, data: dict[str, Any]) -> "Batch":
        """Make a batch from the data of `to_dict`.

        Raises:
            Exception: the data is damaged, or of another version.
        """
        if data["version"] != VERSION:
            raise ValueError(f"it is of version {data['version']}")
        fields = {key: data[key] for key in ("cluster", "slurm_id", "abandoned", "planned")}
        return cls(name, tuple(map(Entry.from_dict, data["jobs"])), ended=set(map(int, data["ended"])), **fields)

    def manifest(self) -> str:
        """Return lines for the end of the batch's script, one per entry."""
        return "".join(f"{MANIFEST}{json.dumps(entry.to_dict())}\n" for entry in self.entries)

    @classmethod
    def from_manifest(cls, name: str, slurm_id: str, script: str) -> "Batch | None":
        """Read a batch from the manifest in its script; None where the script has no readable manifest."""
        lines = [line.removeprefix(MANIFEST) for line in script.splitlines() if line.startswith(MANIFEST)]
        try:
            entries = tuple(Entry.from_dict(json.loads(line)) for line in lines)
        except (ValueError, KeyError, TypeError):
            return None
        return cls(name, entries, slurm_id=slurm_id) if entries else None


class Ledger:
    """Batches in a folder: a file per batch, written before sbatch is called and completed after it."""

    def __init__(self, folder: Path, warn: Callable[[str], None]):
        """Read the batches in a folder. Files that cannot be understood are set aside, with a call of `warn`."""
        self.folder, self.warn = folder, warn
        self.batches: dict[str, Batch] = {}
        self.unwritten: set[str] = set()  # names of batches that have changed since their files were written
        self.is_failing = False
        self.writing = threading.RLock()
        for path in sorted(folder.glob("*.json")):
            try:
                self.batches[path.stem] = Batch.from_dict(path.stem, json.loads(path.read_text()))
            except Exception as error:  # damaged bytes may raise anything
                self._set_aside(path, error)

    def add(self, batch: Batch) -> None:
        """Enter a batch."""
        self._enter(batch)

    def submitted(self, batch: Batch, slurm_id: str, cluster: str | None) -> None:
        """Enter the Slurm id of a batch, and the cluster that it was submitted to."""
        batch.slurm_id, batch.cluster = slurm_id, cluster
        self._enter(batch)

    def abandon(self, batch: Batch) -> None:
        """Enter that a batch is not waited for: if Slurm lists it later, it is to be cancelled."""
        batch.abandoned = True
        self._enter(batch)

    def drop(self, batch: Batch) -> None:
        """Remove a batch."""
        with self.writing:
            self.batches.pop(batch.name, None)
            self.unwritten.add(batch.name)
        self.write()

    def ended(self, slurm_id: str, write: bool = True) -> None:
        """Enter that a job has ended; remove its batch when all jobs of the batch have ended.

        The file is written at once, or, if `write` is false, at the next call of `write`.
        """
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
        """Yield batch, index and entry of all jobs that have an id and are not known to have ended."""
        for batch in list(self.batches.values()):
            if batch.slurm_id and not batch.abandoned:
                yield from ((batch, i, entry) for i, entry in enumerate(batch.entries) if i not in batch.ended)

    def numbers(self) -> dict[str, str | None]:
        """Return the Slurm id by batch: None before sbatch has answered, "none" where the batch was abandoned."""
        return {batch.name: "none" if batch.abandoned else batch.slurm_id for batch in self.batches.values()}

    def write(self) -> None:
        """Write the batches that have changed. Where that fails, warn once; the next call tries again."""
        with self.writing:
            try:
                for name in sorted(self.unwritten):
                    self._write(name)
                    self.unwritten.discard(name)
            except OSError as error:
                if not self.is_failing:
                    self.warn(
                        f"Cannot write in {self.folder} ({error.strerror}): what is known of the submitted jobs is "
                        "kept in memory until that has changed."
                    )
                self.is_failing = True
                return
            if self.is_failing:
                self.warn(f"{self.folder} can be written again.")
            self.is_failing = False

    def _enter(self, batch: Batch) -> None:
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
            _sync(descriptor)  # for the new name of the file
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
            f"{path}, which lists submitted jobs, cannot be understood ({reason}); it is kept as {aside.name}, and "
            "Slurm is asked for the jobs."
        )


def _sync(descriptor: int) -> None:
    """Flush a file or folder to the disk, where the file system supports it."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
