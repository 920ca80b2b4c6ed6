"""Records: JSON files that hold what was measured and all that the numbers depend on."""

import hashlib
import json
from pathlib import Path
from typing import Any

from fastscale.errors import UserError
from fastscale.records.files import write_text

# Which verb writes a record of its kind.
WRITERS = {
    "data": "`fastscale data`",
    "networks": "`fastscale probes`",
    "profiles": "`fastscale profile`",
    "search": "`fastscale search`",
    "train": "`fastscale train`",
}
ANEW = "if snakemake wrote it, move it away and run snakemake again, else give another file"


def write_record(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Write a record as indented JSON, whole or not at all; returns it with the digest by which it is known."""
    if "kind" in record:
        record = _without_digest(record)
        record = {**record, "digest": digest(record)}
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return record


def _without_digest(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "digest"}


def read_record(path: Path, kind: str, network_hash: str | None = None) -> dict[str, Any]:
    """The record at `path`.

    Raises:
        UserError: no such file, not JSON, not of this `kind`, edited by hand, or measured on another network than
            `network_hash`.
    """
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: a {kind} record was expected there; {WRITERS[kind]} writes one, and snakemake those "
            "of a sweep"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no readable record ({' '.join(str(error).split())}); {ANEW}") from None
    found = record.get("kind") if isinstance(record, dict) else None
    if found != kind:
        other = f"a {found!r} record" if isinstance(found, str) else "no record of fastscale's"
        raise UserError(f"{path} holds {other} where a {kind!r} record is expected; {ANEW}")
    if record.get("digest") != digest(_without_digest(record)):
        raise UserError(f"{path} was edited by hand, or damaged: its digest is not that of its content; {ANEW}")
    if network_hash is not None and record.get("network_hash") != network_hash:
        raise UserError(
            f"{path} was measured on another network (hash {str(record.get('network_hash'))[:10]}, expected "
            f"{network_hash[:10]}); {ANEW}"
        )
    return dict(record)


def digest(value: Any) -> str:
    """SHA-256 of plain data in its canonical JSON form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
