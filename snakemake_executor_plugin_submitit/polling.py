"""The queue as seen poll by poll: what became of jobs, and what keeps them waiting."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping

from . import slurm
from .slurm import CommandError, Job, State

TOLD_AFTER = 60.0  # seconds after which a job that waits for no good reason is told of
# States and reasons that need no word: a job waits its turn. All others are told, in Slurm's words.
ON_ITS_WAY = frozenset(("RUNNING", "COMPLETING", "CONFIGURING", "STAGE_OUT", "SIGNALING", "RESIZING"))
IN_TURN = frozenset(
    ("", "BeginTime", "Cleaning", "JobArrayTaskLimit", "None", "Priority", "Prolog", "Resources", "SchedDefer")
)
HINTS = {
    "PartitionTimeLimit": "its partition allows no such limit: give the rule less runtime or another slurm_partition",
    "PartitionNodeLimit": "its partition has not so many nodes: give the rule fewer, or another slurm_partition",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition is inactive",
    "BadConstraints": "no node has what it asks for: correct the rule's resources",
    "JobHeldUser": "it is held; scontrol release lets it go",
    "JobHeldAdmin": "an administrator holds it",
    "SPECIAL_EXIT": "it is held; scontrol release lets it go",
    "launch failed requeued held": "its node could not start it; scontrol release lets it try again",
}


class Queue:
    """What became of jobs: one squeue per poll, whatever their number, and patience with what it says."""

    def __init__(self, dead_polls: int, warn: Callable[[str], None]) -> None:
        """Make a queue that calls a job's end when it was dead in `dead_polls` polls in a row.

        `warn` is told once when squeue begins to fail, and once when it answers again; and once, for each reason, of
        jobs that wait longer than a minute for another reason than their turn.
        """
        self.dead_polls = dead_polls
        self.warn = warn
        self.deaths: dict[str, int] = {}
        self.failing = False
        self.waiting: dict[str, tuple[str, float]] = {}  # for what, and since when
        self.told: dict[str, set[str]] = defaultdict(set)  # jobs by the reason that was told of them

    def look(self) -> dict[str, Job] | None:
        """All of this user's jobs; None when squeue fails: then all are as they were."""
        try:
            listed = slurm.squeue()
        except CommandError as error:
            if not self.failing:
                self.warn(f"Slurm does not say how the jobs are ({error}); waiting until it does.")
            self.failing = True
            return None
        if self.failing:
            self.warn("Slurm answers again.")
        self.failing = False
        return listed

    def ended(self, jobs: Mapping[str, tuple[str, str]], listed: Mapping[str, Job]) -> dict[str, State]:
        """Those of `jobs` (batch and name by Slurm id) that have ended, and how."""
        states = self.states(jobs, listed)
        self._tell_of_waiting(jobs, states)
        return {job: state for job, state in states.items() if self._is_end(job, state)}

    def states(self, jobs: Mapping[str, tuple[str, str]], listed: Mapping[str, Job]) -> dict[str, State]:
        """The states of jobs; those that squeue no longer lists are looked up in the accounting database."""
        states, forgotten = {}, {}
        for slurm_id, (batch, name) in jobs.items():
            if slurm_id not in listed:
                forgotten[slurm_id] = name
            elif listed[slurm_id].is_of(batch, name):
                states[slurm_id] = listed[slurm_id].state
            else:
                states[slurm_id] = State("UNKNOWN", "its id belongs to another job now")
        return states | self._look_up(forgotten)

    def _look_up(self, forgotten: Mapping[str, str]) -> dict[str, State]:
        if not forgotten:
            return {}
        try:
            recorded = slurm.sacct(forgotten)
        except CommandError:  # a cluster without accounting, or its database is down
            recorded = {}
        # A job that runs according to the database but not to the controller is lost.
        ends = {job: state for job, state in recorded.items() if state.over}
        return {job: ends.get(job, State("UNKNOWN", "neither squeue nor sacct lists it")) for job in forgotten}

    def _is_end(self, job: str, state: State) -> bool:
        """Whether this is a job's end. Counts the polls in which it was dead."""
        if state.dead:
            self.deaths[job] = self.deaths.get(job, 0) + 1
            end = self.deaths[job] >= self.dead_polls
        else:
            end = state.succeeded
        if end or not state.dead:
            self.deaths.pop(job, None)
        return end

    def _tell_of_waiting(self, jobs: Mapping[str, tuple[str, str]], states: Mapping[str, State]) -> None:
        """Tell why jobs have waited for a minute, those with one reason together, each job once for each reason."""
        news = defaultdict(list)
        now = time.monotonic()
        for job, state in states.items():
            reason = _reason(state)
            if reason is None:
                self.waiting.pop(job, None)
                continue
            if self.waiting.get(job, ("", 0.0))[0] != reason:
                self.waiting[job] = reason, now
            if now - self.waiting[job][1] >= TOLD_AFTER and job not in self.told[reason]:
                self.told[reason].add(job)
                news[reason].append(job)
        for reason, waiting in news.items():
            first = f"Slurm job {waiting[0]} ({jobs[waiting[0]][1]})"
            who = first if len(waiting) == 1 else f"{first} and {len(waiting) - 1} more"
            hint = next((f" ({text})" for word, text in HINTS.items() if word in reason), "")
            self.warn(f"{who} cannot go on; Slurm's reason: {reason}{hint}. Waiting.")


def _reason(state: State) -> str | None:
    """For what a job waits, in Slurm's words; None where it is at work, over, or waits its turn."""
    if state.over or state.name in ON_ITS_WAY:
        return None
    if state.name != "PENDING":
        return f"{state.name} ({state.detail})" if state.detail else state.name
    return None if state.detail in IN_TURN else state.detail
