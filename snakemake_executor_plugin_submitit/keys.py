"""Keys and marks by which this main process and the next one recognise a Snakemake job, its outputs and its folder."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

SPECIAL_CHARACTERS = re.compile(r"[%\\\x00-\x1f]")  # characters with a meaning of their own in the path of a Slurm log


def members(job: JobExecutorInterface) -> list[Any]:
    """Return the Snakemake jobs that are submitted as one Slurm job: those of a group, or the job itself."""
    return list(job.jobs) if job.is_group() else [job]


def key_of(job: Any, config: Mapping[str, Any]) -> str:
    """Digest all that decides the outputs of one Snakemake job (no group).

    These are its rule, files, parameters and code; also the configuration, if the job's code can read it (a shell
    command cannot).
    """
    rule = job.rule
    code = [rule.script, rule.notebook, rule.wrapper, rule.cwl, rule.template_engine, rule.run_func_src]
    parts = [
        rule.name,
        sorted(map(str, job.output)),
        sorted(map(str, job.input)),
        sorted(map(repr, map(_plain, job.non_derived_params))),
        job.shellcmd if job.is_shell else [*map(str, code), _plain(config)],
    ]
    return _digest(parts, 20)


def marks_of(outputs: Iterable[str]) -> tuple[str, ...]:
    """Digest each output's path: jobs with a common output have a common mark."""
    return tuple(_digest(str(output), 16) for output in outputs)


def project_of(folder: str) -> str:
    """Digest the path of the folder that holds the ledger: the mark of all its jobs."""
    return _digest(folder, 12)


def last_change(inputs: Iterable[Any], made: Iterable[str]) -> int:
    """Return the latest modification time of the inputs, in nanoseconds since the epoch; 0 without such inputs.

    Inputs that the Slurm job makes itself, given by their marks as `made`, and `ancient` inputs do not count.
    """
    own_outputs = set(made)
    times = [0]
    for file, mark in zip(inputs, marks_of(inputs), strict=True):
        if mark not in own_outputs and not getattr(file, "is_ancient", False):
            with suppress(OSError):
                times.append(Path(file).stat().st_mtime_ns)
    return max(times)


def folder_of(folder: Path, name: str) -> Path:
    """Return the subfolder of `folder` for the files of jobs with this name, that of a rule or a group."""
    parts = SPECIAL_CHARACTERS.sub("_", name).split("/")
    return folder.joinpath(*(part for part in parts if part.strip(".")))


def _digest(value: Any, length: int) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:length]


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold and that is the same in each process; for other objects the type's name."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(repr, map(_plain, value)))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else type(value).__name__
