"""Jobs that Snakemake has handed over and that are not submitted yet: they wait here while the cluster has no room."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .job import SnakemakeJob
from .ledger import Entry
from .retry import Try
from .sbatch import NoRoom, SubmissionError

if TYPE_CHECKING:
    from .submission import Submission, Submitter


@dataclass
class Backlog:
    """Tries, and how they are submitted.

    `parameters` are sbatch's for a try (ValueError: there are none), `call` what runs in its job, and what is noted of
    it; `may_go` tells whether it need not wait for another job. `submitted` and `refused` are told what became of it,
    `tell` what keeps many waiting.
    """

    parameters: Callable[[Try], dict[str, Any]]
    call: Callable[[Try], tuple[Entry, SnakemakeJob]]
    may_go: Callable[[Try], bool]
    submitted: Callable[[Try, "Submission"], None]
    refused: Callable[[Try, Exception], None]
    tell: Callable[[str], None]
    largest_array: int = 1
    tries: list[Try] = field(default_factory=list)
    room: dict[str, int] = field(default_factory=dict)  # by parameters: how many to try first, where there was none

    def submit(self, submitter: "Submitter", given_up: Callable[[], bool]) -> None:
        """Submit what the cluster takes, jobs with equal parameters as arrays."""
        alike: dict[str, list[Try]] = {}
        for one in filter(self.may_go, list(self.tries)):
            try:
                alike.setdefault(json.dumps(self.parameters(one), sort_keys=True), []).append(one)
            except ValueError as error:
                self._refuse([one], error)
        for parameters, tries in alike.items():
            self._submit_alike(tries, parameters, submitter, given_up)

    def _submit_alike(
        self, tries: list[Try], parameters: str, submitter: "Submitter", given_up: Callable[[], bool]
    ) -> None:
        """Submit jobs with equal parameters (JSON): all at once, or fewer, or as many as there is room for."""
        size = self.room.pop(parameters, self.largest_array)
        while tries and not given_up():
            some = tries[: min(size, self.largest_array)]
            try:
                submissions = submitter.submit([self.call(one) for one in some], json.loads(parameters), given_up)
            except SubmissionError as error:
                self._refuse(some, error)
            except NoRoom as full:
                if full.fewer and len(some) > 1:
                    size = len(some) // 2
                    self.largest_array = size if full.is_array else self.largest_array
                    continue
                self.room[parameters] = 1  # the next time one asks whether there is some
                self.tell(f"{str(full).strip()}. Jobs wait here until that has changed.")
                return
            else:
                for one, submission in zip(some, submissions, strict=True):
                    self.tries.remove(one)
                    self.submitted(one, submission)
                size *= 2
            tries = tries[len(some) :]

    def _refuse(self, tries: list[Try], error: Exception) -> None:
        for one in tries:
            self.tries.remove(one)
            self.refused(one, error)
