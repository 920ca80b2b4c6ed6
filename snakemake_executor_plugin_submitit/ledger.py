"""Which jobs were submitted, on disk: a main process that was killed leaves it to the next one, which adopts them."""

import fcntl
import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import IO, Any

from snakemake_interface_common.exceptions import ApiError
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from .retry import Attempt


def key_of(job: JobExecutorInterface) -> str:
    """What tells one Snakemake job from all others, in this process and the next: its files and its shell commands."""
    jobs = list(job.jobs) if job.is_group() else [job]
    parts = [[one.rule.name, sorted(map(str, one.output)), str(getattr(one, "shellcmd", None))] for one in jobs]
    return hashlib.sha256(json.dumps(sorted(parts)).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Entry:
    """A job that was submitted: its Slurm id, where its call was pickled, and after how many retries."""

    slurm_id: str
    pickle: Path
    attempt: Attempt = field(default_factory=Attempt)


class Ledger:
    """Batches of jobs in a folder, each a file that is written before sbatch is called and completed after it.

    Between the two a batch is known by its comment, which squeue shows.
    """

    def __init__(self, folder: Path):
        """Take the folder for this process.

        Raises:
            ApiError: another main process has it.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.lock: IO[str] = (folder / "lock").open("a+")  # released when this process ends, however it does
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.lock.seek(0)
            raise ApiError(
                f"Another Snakemake runs here already ({self.lock.read().strip() or 'unknown'}); wait for its end, or "
                "stop it: it goes on where it was left."
            ) from None
        self.batches: dict[str, str] = {}  # by Slurm id
        self.writing = threading.Lock()  # jobs of one batch may be adopted and end at the same time
        self.lock.truncate(0)
        self.lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        self.lock.flush()

    def plan(self, batch: str, jobs: Iterable[tuple[str, Path, Attempt]]) -> None:
        """Note the keys and pickles of a batch that is about to be submitted."""
        noted = [[key, str(pickle), *astuple(attempt)] for key, pickle, attempt in jobs]
        self._write(batch, {"slurm_id": None, "jobs": noted, "ended": []})

    def submitted(self, batch: str, slurm_id: str) -> None:
        """Note the Slurm id of a batch."""
        self.batches[slurm_id] = batch
        self._write(batch, {**self._read(batch), "slurm_id": slurm_id})

    def drop(self, batch: str) -> None:
        """Forget a batch that was not submitted."""
        (self.folder / f"{batch}.json").unlink(missing_ok=True)

    def ended(self, slurm_id: str) -> None:
        """Forget a job that has ended and was told of; with the last one its batch."""
        number, _, index = slurm_id.partition("_")
        with self.writing:
            batch = self.batches[number]
            content = self._read(batch)
            content["ended"] = sorted({*content["ended"], int(index or 0)})
            if len(content["ended"]) == len(content["jobs"]):
                self.drop(batch)
                del self.batches[number]
            else:
                self._write(batch, content)

    def is_empty(self) -> bool:
        """Whether no job is left of earlier processes, or of this one."""
        return not any(self.folder.glob("*.json"))

    def left_behind(self, comments: dict[str, str]) -> dict[str, Entry]:
        """Jobs of an earlier process by key; `comments` has the Slurm ids of batches by their comment."""
        found: dict[str, Entry] = {}
        for batch in sorted(path.stem for path in self.folder.glob("*.json")):
            content = self._read(batch)
            number = content["slurm_id"] or comments.get(batch)
            if number is None:  # it was killed before sbatch
                self.drop(batch)
                continue
            self.submitted(batch, number)
            for index, (key, pickle, *attempt) in enumerate(content["jobs"]):
                if index not in content["ended"]:
                    slurm_id = f"{number}_{index}" if len(content["jobs"]) > 1 else number
                    self._enter(found, key, Entry(slurm_id, Path(pickle), Attempt(*attempt)))
        return found

    def _enter(self, found: dict[str, Entry], key: str, entry: Entry) -> None:
        """Enter a job; a retry takes the place of the one before it, which the killed process had no time to forget."""
        if other := found.get(key):
            entry, ended = sorted((entry, other), key=lambda one: one.attempt.retries, reverse=True)
            self.ended(ended.slurm_id)
        found[key] = entry

    def _read(self, batch: str) -> dict[str, Any]:
        return json.loads((self.folder / f"{batch}.json").read_text())

    def _write(self, batch: str, content: dict[str, Any]) -> None:
        temporary = self.folder / f".{batch}.tmp"
        temporary.write_text(json.dumps(content))
        temporary.replace(self.folder / f"{batch}.json")
