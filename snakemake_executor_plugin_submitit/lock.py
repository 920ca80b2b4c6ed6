"""Locks against a second main process in the same folder, with or without Slurm; they die with their process."""

import errno
import json
import os
import socket
from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout
from snakemake_interface_common.exceptions import ApiError
from snakemake_interface_executor_plugins.workflow import WorkflowExecutorInterface

from ._snakemake import FileLocks

# Errors of file systems without flock: Lustre without -o flock, NFS without its lock daemon, some FUSE file systems.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class MainLock:
    """The lock of a folder by one main process."""

    def __init__(self, folder: Path):
        """Take the lock.

        Raises:
            ApiError: another main process holds the lock, or the folder cannot be written.
        """
        self.folder, self.holder = folder, folder / "main"
        self._hold()

    def _hold(self) -> None:
        folder = self.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.lock = self._take()
            self.holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        except OSError as error:
            raise ApiError(
                f"Cannot write in {folder}, where the executor lists the submitted jobs ({error.strerror}): correct "
                "that, or choose another folder that all nodes see (--submitit-log-folder)."
            ) from None

    def renew(self) -> None:
        """Take the lock again where its files were deleted."""
        if not self.holder.exists():
            self._hold()

    def _take(self) -> BaseFileLock:
        for kind, name in ((FileLock, "lock"), (SoftFileLock, "lock-file")):
            lock = kind(self.folder / name, fallback_to_soft=False) if kind is FileLock else kind(self.folder / name)
            try:
                lock.acquire(timeout=0)
                return lock
            except Timeout:
                raise ApiError(self._refusal(kind)) from None
            except OSError as error:
                if kind is SoftFileLock or error.errno not in NO_LOCKS:
                    raise
        raise AssertionError("unreachable")

    def _refusal(self, kind: type) -> str:
        try:
            holder = self.holder.read_text().strip()
        except OSError:
            holder = "unknown"
        way_out = (
            f"; if it has ended without a trace, delete {self.folder / 'lock-file'}" if kind is SoftFileLock else ""
        )
        return (
            f"Another Snakemake runs here already ({holder}); wait for its end, or stop it and start again: nothing "
            f"that is done is lost{way_out}."
        )


class WorkflowLock:
    """Snakemake's own lock files of inputs and outputs, against a Snakemake without Slurm in the same folder.

    Snakemake leaves its lock files behind when it is killed. The lock files of this class are listed in a file,
    and the next process that holds the `MainLock` removes them. This lock is taken only with Snakemake's option
    `--nolock`, which the profile sets; without the option Snakemake takes its own lock.
    """

    def __init__(self, workflow: WorkflowExecutorInterface):
        """Take the lock.

        Raises:
            ApiError: another Snakemake has locked some of the files.
        """
        locks = FileLocks(workflow.persistence)
        self.locks = locks if locks.exist and not workflow.execution_settings.lock else None
        if self.locks is None:
            return
        self.listing = Path(locks.folder, "submitit.json").absolute()  # in their folder: is deleted together with them
        self.release()  # removes the lock files of a killed process
        if workflow.persistence.locked:
            raise ApiError(
                "A Snakemake without Slurm works on the same files in this folder, or was killed there: wait for its "
                "end, or, if there is none any more, run snakemake --unlock."
            )
        self._take(locks)

    def renew(self) -> None:
        """Take the lock again where its files were deleted: any Snakemake that ends deletes all lock files."""
        if self.locks is not None and not all(Path(path).exists() for path in self._listed()):
            self._take(self.locks)

    def release(self) -> None:
        """Release the lock."""
        if self.locks is None:
            return
        for path, inode in self._listed().items():
            with suppress(OSError):
                if Path(path).stat().st_ino == inode:
                    Path(path).unlink()
        with suppress(OSError):
            self.listing.unlink()

    def _take(self, locks: FileLocks) -> None:
        with suppress(OSError):  # on a full disk there is no such lock
            files = locks.write()
            self.listing.write_text(json.dumps({str(path): path.stat().st_ino for path in files}))

    def _listed(self) -> dict[str, int]:
        try:
            return dict(json.loads(self.listing.read_text()))
        except (OSError, ValueError, TypeError):
            return {}
