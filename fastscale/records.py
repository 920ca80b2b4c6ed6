"""Records: JSON files that hold what was measured and all that the numbers depend on.

A record is written to a temporary name beside its place, flushed and renamed: it is whole or not there.
"""

import ast
import hashlib
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastscale.claim import is_superseded
from fastscale.complexity import count
from fastscale.errors import UserError
from fastscale.networks import Network

PACKAGE = Path(__file__).parent

# The modules on whose code the numbers of a stage depend; a change of one of them makes the stage's records stale.
MODEL_MODULES = ("networks", "model.py", "convolution.py", "memory.py")
EXECUTION_MODULES = ("devices.py", "ways.py", "execution.py", "optimizer.py")
STAGE_MODULES = {
    "profile": (*MODEL_MODULES, *EXECUTION_MODULES, "steps.py", "batch_size.py", "peaks.py", "timing.py"),
    "train": (
        *MODEL_MODULES,
        *EXECUTION_MODULES,
        "data",
        "recipe.py",
        "norms.py",
        "ranks.py",
        "training.py",
        "train.py",
    ),
}

# Which verb writes a record of its kind.
WRITERS = {
    "data": "`fastscale data`",
    "networks": "`fastscale probes`",
    "profiles": "`fastscale profile`",
    "search": "`fastscale search`",
    "train": "`fastscale train`",
}
ANEW = "if snakemake wrote it, move it away and run snakemake again, else give another file"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and vanishes when it does not.

    Raises:
        UserError: the disk is full, the folder cannot be written, or a later Slurm job has claimed the outputs.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:60]}-", suffix=path.suffix)
        os.close(descriptor)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; free space or correct the folder's rights") from None
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        if is_superseded():
            raise UserError(f"{path} is left as it is: a later Slurm job with other parameters has claimed it")
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; the old file, if any, is whole") from error
    finally:
        temporary.unlink(missing_ok=True)


@cache
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8, LF), whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


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
    return record


def network_record(network: Network) -> dict[str, Any]:
    """What is known of a network without building it: its description, its identity and its exact counts."""
    return {
        "id": network.id,
        "network_hash": network.hash,
        "network": network.to_dict(),
        "depths": network.depths,
        "widths": network.widths,
        "group_widths": network.group_widths,
        "resolution": network.resolution,
        **count(network)._asdict(),
    }


def write_networks(path: Path, networks: Iterable[Network]) -> None:
    """Write the record of several networks."""
    write_record(path, {"kind": "networks", "networks": list(map(network_record, networks))})


def read_networks(path: Path) -> list[Network]:
    """The networks of a networks record.

    Raises:
        UserError: the record is missing or broken, or was edited: a hash is not that of its description.
    """
    record = read_record(path, "networks")
    try:
        networks = [Network.from_dict(one["network"]) for one in record["networks"]]
        hashes = [one["network_hash"] for one in record["networks"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} describes no networks ({error!r}); {ANEW}") from None
    if edited := [network.id for network, known in zip(networks, hashes, strict=True) if network.hash != known]:
        raise UserError(f"{path} was edited: the description of {edited[0]} has another hash; {ANEW}")
    return networks


def digest(value: Any) -> str:
    """SHA-256 of plain data in its canonical JSON form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@cache
def code_hash(stage: str) -> str:
    """A hash of the syntax trees of the stage's modules: comments, docstrings and layout do not change it."""
    trees = [ast.dump(_without_docstrings(ast.parse(path.read_text()))) for path in _sources(STAGE_MODULES[stage])]
    return digest(trees)


def _sources(names: Iterable[str]) -> list[Path]:
    paths = [PACKAGE / name for name in names]
    return sorted(source for path in paths for source in (path.rglob("*.py") if path.is_dir() else [path]))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[:1] = [] if len(body) > 1 else [ast.Pass()]
    return tree


def provenance(stage: str, packages: Iterable[str] = ("torch", "numpy")) -> dict[str, Any]:
    """Who made a record: time (UTC), commit, hash of the stage's code, versions and processor."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": _commit(),
        "code": code_hash(stage),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("fastscale", *packages)},
        "processor": processor(),
        "slurm_job": _slurm_job(),
    }


def _slurm_job() -> str | None:
    """The id of the Slurm job that this runs in, as squeue writes it."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    return f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _commit() -> str | None:
    """The commit of the source, with + where the tree differs from it; None outside a checkout."""
    command = ["git", "-C", str(PACKAGE.parent), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def processor() -> str:
    """The name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
