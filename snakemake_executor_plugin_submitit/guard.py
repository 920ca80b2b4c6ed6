"""Snakemake within a job, guarded: it accepts, marks and deletes no output that a later submission has claimed."""

import os
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from .claims import Claim

SUPERSEDED = 3  # exit code
GUARDED = ("prepare", "postprocess")  # of snakemake.jobs.Job: what comes before a job's command, and after it


def leave_if_superseded(claim: Claim) -> None:
    """End this process at once, with nothing touched, if the outputs are another job's by now."""
    if not claim.holds:
        message = "A later submission has claimed the outputs of this job: it ends, and leaves them as they are."
        print(message, file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(SUPERSEDED)


def guard(job: type, claim: Claim) -> None:
    """Let Snakemake's class of jobs look at the claim before it touches outputs. It has no hook there."""
    for name in GUARDED:
        setattr(job, name, _guarded(getattr(job, name), claim))


def _guarded(method: Callable[..., Awaitable[Any]], claim: Claim) -> Callable[..., Awaitable[Any]]:
    @wraps(method)
    async def guarded(*arguments: Any, **options: Any) -> Any:
        leave_if_superseded(claim)
        return await method(*arguments, **options)

    return guarded
