"""Claims: which Slurm job may write which outputs.

A Slurm job may live on when no main process waits for it any more: the main process was killed, and the job runs on
another cluster or on a node that Slurm has lost. Each submission therefore claims its outputs, in files that stay; the
last claim counts. A job checks that its claim still holds before it starts, and again before Snakemake accepts, marks
or deletes its outputs. The job's commands can check too: the variable `VARIABLE` of their environment is JSON with the
`folder` of the claims, the `names` of this job's claim files, and the `holder` that these files must contain.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "SNAKEMAKE_SUBMITIT_CLAIM"
NOBODY = "nobody"


def claim_name(outputs: Iterable[str]) -> str:
    """Return the name of the claim file of a Snakemake job with these outputs."""
    return hashlib.sha256("\n".join(sorted(outputs)).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Claim:
    """One submission's right to its outputs: a file per Snakemake job of the submission, which names the holder."""

    folder: Path
    names: tuple[str, ...]
    holder: str

    @classmethod
    def from_environment(cls) -> "Claim | None":
        """Read the claim of the job that this process belongs to; None outside of such a job."""
        if VARIABLE not in os.environ:
            return None
        claim = json.loads(os.environ[VARIABLE])
        return cls(Path(claim["folder"]), tuple(claim["names"]), claim["holder"])

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variable that passes this claim to the job's processes."""
        return {VARIABLE: json.dumps({"folder": str(self.folder), "names": self.names, "holder": self.holder})}

    def make(self) -> None:
        """Claim the outputs; earlier claims no longer hold."""
        self._write(self.holder)

    def renew(self) -> None:
        """Claim the outputs again where the claim files were deleted."""
        if not all((self.folder / name).exists() for name in self.names):
            self.make()

    def end(self) -> None:
        """Let nobody hold the outputs: processes of the job that may still run must not touch them."""
        self._write(NOBODY)

    @property
    def holds(self) -> bool:
        """Tell whether no later claim has taken one of the outputs. Claim files that cannot be read do not count."""
        return all(self._holder(name) in (None, self.holder) for name in self.names)

    def _holder(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text() or None
        except OSError:
            return None

    def _write(self, holder: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self.names:
            temporary = self.folder / f".{name}.{os.getpid()}"
            temporary.write_text(holder)
            temporary.replace(self.folder / name)
