"""The check that keeps a job from touching outputs that a later submission has claimed."""

import os
import sys

from .claims import Claim

SUPERSEDED = 3  # exit code


def leave_if_superseded(claim: Claim) -> None:
    """End this process at once, with nothing touched, if a later submission has claimed the outputs."""
    if not claim.holds:
        message = "A later submission has claimed the outputs of this job: it ends, and leaves them as they are."
        print(message, file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(SUPERSEDED)
