"""Records: JSON files that hold measurements and everything that the measurements depend on."""

import hashlib
import json
from pathlib import Path
from typing import Any

from fastscale.errors import UserError
from fastscale.records.files import write_text

# The verb that writes records of each kind.
WRITERS = {
    "data": "`fastscale data`",
    "networks": "`fastscale probes`",
    "profiles": "`fastscale profile`",
    "search": "`fastscale search`",
    "train": "`fastscale train`",
}
# What the reader of an error does about a record that cannot be used.
REMEDY = "if snakemake wrote it, move it away and run snakemake again, else give another file"


def write_record(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Write a record atomically as indented JSON; return the record, with its digest if it has a kind."""
    if "kind" in record:
        record = _without_digest(record)
        record = {**record, "digest": digest(record)}
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return record


def _without_digest(record: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a record that the digest covers."""
    return {key: value for key, value in record.items() if key != "digest"}


def read_record(path: Path, kind: str, network_hash: str | None = None) -> dict[str, Any]:
    """Read the record at `path`.

    Raises:
        UserError: the file is missing, no JSON, not of this `kind`, edited by hand, or measured on another network than
            that of `network_hash`.
    """
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: a {kind} record was expected there; {WRITERS[kind]} writes one, and snakemake those "
            "of a sweep"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no readable record ({' '.join(str(error).split())}); {REMEDY}") from None
    recorded = record.get("kind") if isinstance(record, dict) else None
    if recorded != kind:
        other = f"a {recorded!r} record" if isinstance(recorded, str) else "no record of fastscale's"
        raise UserError(f"{path} holds {other} where a {kind!r} record is expected; {REMEDY}")
    if record.get("digest") != digest(_without_digest(record)):
        raise UserError(f"{path} was edited by hand, or damaged: its digest is not that of its content; {REMEDY}")
    if network_hash is not None and record.get("network_hash") != network_hash:
        raise UserError(
            f"{path} was measured on another network (hash {str(record.get('network_hash'))[:10]}, expected "
            f"{network_hash[:10]}); {REMEDY}"
        )
    return dict(record)


def digest(value: Any) -> str:
    """Return the SHA-256 of plain data, as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
