"""Jobs that Snakemake has handed over and that are not submitted yet: they wait here while the cluster has no room."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .job import SnakemakeJob
from .ledger import Entry
from .retry import Request
from .sbatch import NoRoom, SubmissionError

if TYPE_CHECKING:
    from .submission import Submission, Submitter


@dataclass
class Backlog:
    """Requests that wait for their submission, and the functions that submit and report them.

    - `parameters` returns sbatch's parameters for a request, or raises ValueError where its resources make no sense.
    - `call` returns the ledger's entry for a request, and the call that runs in its Slurm job.
    - `may_go` tells whether a request need not wait for another job to end.
    - `submitted` and `refused` are called with each request that was submitted or refused; `warn` with the reason why
      many requests wait.
    """

    parameters: Callable[[Request], dict[str, Any]]
    call: Callable[[Request], tuple[Entry, SnakemakeJob]]
    may_go: Callable[[Request], bool]
    submitted: Callable[[Request, "Submission"], None]
    refused: Callable[[Request, Exception], None]
    warn: Callable[[str], None]
    largest_array: int = 1
    requests: list[Request] = field(default_factory=list)
    room: dict[str, int] = field(default_factory=dict)  # by parameters: how many to submit first, after a refusal

    def submit(self, submitter: "Submitter", given_up: Callable[[], bool]) -> None:
        """Submit as many requests as the cluster accepts; requests with equal parameters become arrays.

        `given_up` tells whether the submission was given up in the meantime.
        """
        groups: dict[str, list[Request]] = {}
        for request in filter(self.may_go, list(self.requests)):
            try:
                groups.setdefault(json.dumps(self.parameters(request), sort_keys=True), []).append(request)
            except ValueError as error:
                self._refuse([request], error)
        for parameters, requests in groups.items():
            self._submit_group(requests, parameters, submitter, given_up)

    def _submit_group(
        self, requests: list[Request], parameters: str, submitter: "Submitter", given_up: Callable[[], bool]
    ) -> None:
        """Submit requests with equal parameters (JSON): all at once, or in parts for which the cluster has room."""
        size = self.room.pop(parameters, self.largest_array)
        while requests and not given_up():
            part = requests[: min(size, self.largest_array)]
            try:
                calls = [self.call(request) for request in part]
                submissions = submitter.submit(calls, json.loads(parameters), given_up)
            except SubmissionError as error:
                self._refuse(part, error)
            except NoRoom as full:
                if full.fewer and len(part) > 1:
                    size = len(part) // 2
                    self.largest_array = size if full.is_array else self.largest_array
                    continue
                self.room[parameters] = 1  # a single job tests at the next poll whether there is room
                self.warn(f"{str(full).strip()}. Jobs wait here until that has changed.")
                return
            else:
                for request, submission in zip(part, submissions, strict=True):
                    self.requests.remove(request)
                    self.submitted(request, submission)
                size *= 2
            requests = requests[len(part) :]

    def _refuse(self, requests: list[Request], error: Exception) -> None:
        for request in requests:
            self.requests.remove(request)
            self.refused(request, error)
