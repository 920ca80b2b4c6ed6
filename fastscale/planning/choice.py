"""The choice of a search: the best candidate, by the records of the candidates' trainings."""

from fastscale.analysis.results.reading import present_data, require_data
from fastscale.errors import UserError
from fastscale.networks.complexity import count
from fastscale.records.records import read_record, write_record
from fastscale.sweep.search import best
from fastscale.sweep.sweep import Sweep


def choose(sweep: Sweep, name: str) -> None:
    """Write the record of the search `name`: its candidates, their errors, and the candidate that becomes a base.

    Raises:
        UserError: the sweep has no such search, a record is missing, broken or of other data, or all trainings
            diverged.
    """
    if name not in sweep.searches:
        raise UserError(f"unknown search {name!r}: the sweep {sweep.name!r} has {', '.join(sweep.searches) or 'none'}")
    candidates, paths = sweep.candidates[name], sweep.needs.candidate_records(name)
    records = [
        read_record(path, "train", candidate.network.hash) for path, candidate in zip(paths, candidates, strict=True)
    ]
    now = present_data(sweep)
    for record, path in zip(records, paths, strict=True):
        require_data(now, record, path)
    errors = [record["top1_error"] if record["status"] == "finished" else None for record in records]
    chosen = candidates[best(name, [candidate.network for candidate in candidates], errors)]
    write_record(
        sweep.search_record(name),
        {
            "kind": "search",
            "search": sweep.config["search"][name],
            "found": chosen.definition,
            "network": chosen.network.id,
            "candidates": [
                {
                    "network": candidate.network.id,
                    "parameters": candidate.definition,
                    "flops": count(candidate.network).flops,
                    "top1_error": error,
                }
                for candidate, error in zip(candidates, errors, strict=True)
            ],
        },
    )
