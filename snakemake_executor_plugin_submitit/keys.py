"""What tells one Snakemake job from all others, in this process and the next."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

RESERVED = re.compile(r"[%\\\x00-\x1f]")  # what Slurm does not take as it is in the path of a log


def members(job: JobExecutorInterface) -> list[Any]:
    """The Snakemake jobs that are submitted as one: those of a group, or itself."""
    return list(job.jobs) if job.is_group() else [job]


def key_of(job: Any, config: Mapping[str, Any]) -> str:
    """The key of one Snakemake job (no group): all that decides what comes out of it.

    That is its rule, files, parameters and code; and the configuration where the code can read it, which no shell
    command can.
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
    """Short names of outputs, by which jobs of one output find each other."""
    return tuple(_digest(str(output), 16) for output in outputs)


def project_of(folder: str) -> str:
    """The mark of the jobs whose ledger lies in `folder`."""
    return _digest(folder, 12)


def newest(inputs: Iterable[Any], made: Iterable[str]) -> int:
    """When the inputs were changed last, in nanoseconds, without those that bear the marks of what is `made` within.

    0 where there is none, or where it does not count.
    """
    within = set(made)
    times = [0]
    for file, mark in zip(inputs, marks_of(inputs), strict=True):
        if mark not in within and not getattr(file, "is_ancient", False):
            with suppress(OSError):
                times.append(Path(file).stat().st_mtime_ns)
    return max(times)


def folder_of(folder: Path, name: str) -> Path:
    """Where the files of jobs of a name go: a folder named after their rule, or their group, of whatever name."""
    parts = RESERVED.sub("_", name).split("/")
    return folder.joinpath(*(part for part in parts if part.strip(".")))


def _digest(value: Any, length: int) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:length]


def _plain(value: Any) -> Any:
    """A value that JSON can hold and that is the same in each process; of all other objects the type alone."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(repr, map(_plain, value)))
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else type(value).__name__
