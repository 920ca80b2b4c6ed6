"""Claims: which Slurm job may make which outputs.

A job that nobody waits for any more may live on: one that was left behind by a killed main process, on another cluster
or on a node that Slurm has lost. Each submission therefore claims its outputs, in files that stay; who claims last has
them. A job looks whether its claim still holds before it starts, and again before Snakemake accepts, marks or deletes
its outputs. Its commands can look too: `VARIABLE` in their environment is JSON with the `folder` of the claims, the
`names` of theirs, and the `holder` that these files must hold.
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
    """The claim's name of a Snakemake job with these outputs."""
    return hashlib.sha256("\n".join(sorted(outputs)).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Claim:
    """One submission's right to its outputs: a file for each Snakemake job in it, which names the holder."""

    folder: Path
    names: tuple[str, ...]
    holder: str

    @classmethod
    def of_environment(cls) -> "Claim | None":
        """The claim of the job that this process belongs to."""
        if VARIABLE not in os.environ:
            return None
        told = json.loads(os.environ[VARIABLE])
        return cls(Path(told["folder"]), tuple(told["names"]), told["holder"])

    @property
    def environment(self) -> dict[str, str]:
        """What tells the job's processes of it."""
        return {VARIABLE: json.dumps({"folder": str(self.folder), "names": self.names, "holder": self.holder})}

    def make(self) -> None:
        """Claim the outputs; earlier claims end."""
        self._write(self.holder)

    def renew(self) -> None:
        """Claim the outputs again where nobody does: the files were deleted."""
        if not all((self.folder / name).exists() for name in self.names):
            self.make()

    def end(self) -> None:
        """Leave the outputs to nobody: what may still run of the job must not touch them."""
        self._write(NOBODY)

    @property
    def holds(self) -> bool:
        """Whether nobody has claimed one of the outputs since. Claims that cannot be read do not end this one."""
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
