"""Provenance: by which code a record was made, when and where."""

import ast
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from fastscale.records.records import digest

PACKAGE = Path(__file__).parents[1]

# The module that each stage begins with: what a record says depends on it and on all that it imports.
ENTRIES = {"profile": "fastscale.profiling.profile", "train": "fastscale.training.run"}

# Modules that stages import and that change no number, and why.
EXEMPT = {
    "fastscale.errors": "messages",
    "fastscale.validation.documents": "a value is taken as it is, or refused",
    "fastscale.validation.quantities": "a value is taken as it is, or refused",
    "fastscale.validation.checks": "a value is taken as it is, or refused",
    "fastscale.validation.forms": "a value is taken as it is, or refused",
    "fastscale.networks.families": "a record holds the description of its network, whatever made it",
    "fastscale.networks.bases": "likewise",
    "fastscale.networks.derivations": "likewise",
    "fastscale.records.claim": "whether a record is written, not what it says",
    "fastscale.records.files": "likewise",
    "fastscale.records.records": "form of a record, whose digest tells of its content",
    "fastscale.records.provenance": "this module",
    "fastscale.data.writing": "a record holds the digest of its images, whatever wrote them",
    "fastscale.data.images": "likewise",
    "fastscale.data.sources": "likewise",
    "fastscale.data.folders": "likewise",
    "fastscale.runtime.upstream": "which versions of other packages may be patched; a patch saves time alone",
    "fastscale.runtime.signals": "when a training stops; it goes on to the same bits",
}


@cache
def code_hash(stage: str) -> str:
    """Hash the code that a stage's records depend on.

    Hashed are the syntax trees of the definitions in the modules that the stage imports, and the data files that these
    name. Comments, docstrings, layout and imports do not count, nor does the module that a definition stands in: a move
    or a module's new name makes no record stale.
    """
    return digest(sorted(part for module in hashed_modules(stage) for part in _parts(module)))


@cache
def hashed_modules(stage: str) -> tuple[str, ...]:
    """List the modules that a stage imports, directly or not, less those that are exempt."""
    found, waiting = set(), [ENTRIES[stage]]
    while waiting:
        module = waiting.pop()
        if module not in found and module not in EXEMPT:
            found.add(module)
            waiting += [imported for _, imported, _ in _imports(module)]
    return tuple(sorted(found))


def _parts(module: str) -> Iterator[str]:
    """Digest each definition of a module, and each data file that it names."""
    tree = _Canonical(_imports(module)).visit(_tree(module))
    yield from (digest(ast.dump(statement)) for statement in tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".yaml"):
            yield digest(yaml.safe_load(_path(module).with_name(node.value).read_text()))


class _Canonical(ast.NodeTransformer):
    """Takes away what does not bear on what is computed: imports, docstrings, and the names that imports give."""

    def __init__(self, imports: Iterable[tuple[str, str, str | None]]) -> None:
        self.originals = {local: name for local, _, name in imports}

    def visit(self, node: Any) -> Any:
        """Visit a node; of a body, what does something is left."""
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _is_idle(statement)] or [ast.Pass()]
        return super().visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """`module.name` is what `name` is where it is imported by itself."""
        match node:
            case ast.Attribute(ast.Name(name), attribute) if self.originals.get(name, name) is None:
                return ast.Name(attribute, node.ctx)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A name that was imported as another is itself."""
        return ast.Name(self.originals.get(node.id) or node.id, node.ctx)


def _is_idle(statement: ast.AST) -> bool:
    """Whether a statement is an import, a docstring, for type checkers alone, or a list of what a module exports."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
    return False


@cache
def _imports(module: str) -> tuple[tuple[str, str, str | None], ...]:
    """List what a module imports from this package: the name it gives it, the module that defines it, its name there.

    A module that is itself imported has no name there. Imports within functions count; those for type checkers do not.
    """
    return tuple(
        (name.asname or name.name, *_definition(str(node.module), name.name))
        for node in _statements(_tree(module))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE.name
        for name in node.names
    )


def _definition(module: str, name: str) -> tuple[str, str | None]:
    """Find where a name comes from that is imported from a module: a package may have it from another."""
    if _path(f"{module}.{name}").exists():
        return f"{module}.{name}", None
    if _path(module).name == "__init__.py":
        origins = {local: (origin, original) for local, origin, original in _imports(module)}
        return origins.get(name, (module, name))
    return module, name


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and _is_idle(node)):
            yield node
            yield from _statements(node)


def _tree(module: str) -> ast.Module:
    return ast.parse(_path(module).read_text())


def _path(module: str) -> Path:
    """The file of a module or package."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


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
