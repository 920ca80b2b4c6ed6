"""The queue, poll by poll: which jobs have ended and how, and why others wait."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping

from . import slurm
from .slurm import CommandError, Job, State

REPORTED_AFTER = 60.0  # seconds after which a job that waits for more than its turn is reported
# States and reasons of jobs that run or wait their turn. All others are reported, in Slurm's words.
ON_ITS_WAY = frozenset(("RUNNING", "COMPLETING", "CONFIGURING", "STAGE_OUT", "SIGNALING", "RESIZING"))
IN_TURN = frozenset(
    ("", "BeginTime", "Cleaning", "JobArrayTaskLimit", "None", "Priority", "Prolog", "Resources", "SchedDefer")
)
HINTS = {
    "PartitionTimeLimit": "its partition allows no such limit: give the rule less runtime or another slurm_partition",
    "PartitionNodeLimit": "its partition has too few nodes: give the rule fewer, or another slurm_partition",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition is inactive",
    "BadConstraints": "no node has what it asks for: correct the rule's resources",
    "JobHeldUser": "it is held; scontrol release lets it go",
    "JobHeldAdmin": "an administrator holds it",
    "SPECIAL_EXIT": "it is held; scontrol release lets it go",
    "launch failed requeued held": "its node could not start it; scontrol release lets it try again",
}


class Queue:
    """The states of all jobs, by one squeue per poll; failures of squeue and momentary states are waited out."""

    def __init__(self, dead_polls: int, warn: Callable[[str], None]) -> None:
        """Take a job as ended when it was dead in `dead_polls` polls in a row.

        `warn` is called once when squeue begins to fail, and once when it answers again. It is also called when
        jobs have waited for a minute for another reason than their turn: once per reason and job.
        """
        self.dead_polls = dead_polls
        self.warn = warn
        self.deaths: dict[str, int] = {}  # polls in a row in which a job was dead, by Slurm id
        self.failing = False
        self.waiting: dict[str, tuple[str, float]] = {}  # reason and start of the wait, by Slurm id
        self.reported: dict[str, set[str]] = defaultdict(set)  # Slurm ids by the reason that was reported

    def poll(self) -> dict[str, Job] | None:
        """List all of this user's jobs, by Slurm id; None where squeue fails, which says nothing about the jobs."""
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
        """Return the states of those `jobs` (batch and name by Slurm id) that have ended."""
        states = self.states(jobs, listed)
        self._report_waiting(jobs, states)
        return {job: state for job, state in states.items() if self._is_end(job, state)}

    def states(self, jobs: Mapping[str, tuple[str, str]], listed: Mapping[str, Job]) -> dict[str, State]:
        """Return the states of jobs; those that squeue no longer lists are looked up in the accounting database."""
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
        except CommandError:  # the cluster has no accounting, or its database is down
            recorded = {}
        # A job that runs according to the database, but is unknown to the controller, is lost.
        ends = {job: state for job, state in recorded.items() if state.over}
        return {job: ends.get(job, State("UNKNOWN", "neither squeue nor sacct lists it")) for job in forgotten}

    def _is_end(self, job: str, state: State) -> bool:
        """Tell whether a job has ended. Counts the polls in which it was dead."""
        if state.dead:
            self.deaths[job] = self.deaths.get(job, 0) + 1
            end = self.deaths[job] >= self.dead_polls
        else:
            end = state.succeeded
        if end or not state.dead:
            self.deaths.pop(job, None)
        return end

    def _report_waiting(self, jobs: Mapping[str, tuple[str, str]], states: Mapping[str, State]) -> None:
        """Warn of jobs that have waited for a minute: one warning per reason, each job once per reason."""
        news = defaultdict(list)
        now = time.monotonic()
        for job, state in states.items():
            reason = _reason(state)
            if reason is None:
                self.waiting.pop(job, None)
                continue
            if self.waiting.get(job, ("", 0.0))[0] != reason:
                self.waiting[job] = reason, now
            if now - self.waiting[job][1] >= REPORTED_AFTER and job not in self.reported[reason]:
                self.reported[reason].add(job)
                news[reason].append(job)
        for reason, waiting in news.items():
            first = f"Slurm job {waiting[0]} ({jobs[waiting[0]][1]})"
            who = first if len(waiting) == 1 else f"{first} and {len(waiting) - 1} more"
            hint = next((f" ({text})" for word, text in HINTS.items() if word in reason), "")
            self.warn(f"{who} cannot go on; Slurm's reason: {reason}{hint}. Waiting.")


def _reason(state: State) -> str | None:
    """Return why a job waits, in Slurm's words; None where it runs, has ended, or waits its turn."""
    if state.over or state.name in ON_ITS_WAY:
        return None
    if state.name != "PENDING":
        return f"{state.name} ({state.detail})" if state.detail else state.name
    return None if state.detail in IN_TURN else state.detail
