"""Provenance of records: which code made a record, when and where."""

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

# The entry module of each stage: a record depends on this module and on all modules that it imports.
ENTRIES = {"profile": "fastscale.profiling.profile", "train": "fastscale.training.run"}

# Modules that stages import but that change no number in a record, each with the reason.
EXEMPT = {
    "fastscale.errors": "text of messages",
    "fastscale.validation.documents": "it refuses values, and changes none",
    "fastscale.validation.quantities": "likewise",
    "fastscale.validation.checks": "likewise",
    "fastscale.validation.forms": "likewise",
    "fastscale.networks.families": "a record holds its network's whole description",
    "fastscale.networks.bases": "likewise",
    "fastscale.networks.derivations": "likewise",
    "fastscale.records.claim": "it decides whether a record is written, not its content",
    "fastscale.records.files": "it writes bytes as they are",
    "fastscale.records.records": "the form of a record; a digest covers the content",
    "fastscale.records.provenance": "this module",
    "fastscale.data.writing": "a record holds the digest of its images",
    "fastscale.data.images": "likewise",
    "fastscale.data.sources": "likewise",
    "fastscale.data.folders": "likewise",
    "fastscale.runtime.upstream": "it checks versions of other packages",
    "fastscale.runtime.signals": "a training that stops resumes to the same bits",
}


@cache
def code_hash(stage: str) -> str:
    """Hash the code that a stage's records depend on.

    The hash covers the syntax trees of all top-level statements in `hashed_modules`, and the data files that these
    modules name. Comments, docstrings, formatting and imports do not count, nor does the module that holds a
    definition: no record becomes stale when a definition moves or a module is renamed.
    """
    return digest(sorted(part for module in hashed_modules(stage) for part in _parts(module)))


@cache
def hashed_modules(stage: str) -> tuple[str, ...]:
    """List the modules that a stage imports, directly or indirectly, except those in `EXEMPT`."""
    modules, waiting = set(), [ENTRIES[stage]]
    while waiting:
        module = waiting.pop()
        if module not in modules and module not in EXEMPT:
            modules.add(module)
            waiting += [imported for _, imported, _ in _imports(module)]
    return tuple(sorted(modules))


def _parts(module: str) -> Iterator[str]:
    """Digest each top-level statement of a module, and each YAML file whose name is a string of the module."""
    tree = _Canonical(_imports(module)).visit(_tree(module))
    yield from (digest(ast.dump(statement)) for statement in tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".yaml"):
            yield digest(yaml.safe_load(_path(module).with_name(node.value).read_text()))


class _Canonical(ast.NodeTransformer):
    """Removal of what changes no result: imports, docstrings, and the local names that imports give."""

    def __init__(self, imports: Iterable[tuple[str, str, str | None]]) -> None:
        self.originals = {local: name for local, _, name in imports}

    def visit(self, node: Any) -> Any:
        """Visit a node; in a body, keep only the statements that compute something."""
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _is_idle(statement)] or [ast.Pass()]
        return super().visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Replace `module.name` by `name`, as if the name had been imported from the module."""
        match node:
            case ast.Attribute(ast.Name(name), attribute) if self.originals.get(name, name) is None:
                return ast.Name(attribute, node.ctx)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Replace the local name of an imported definition by its name in its own module."""
        return ast.Name(self.originals.get(node.id) or node.id, node.ctx)


def _is_idle(statement: ast.AST) -> bool:
    """Tell whether a statement computes nothing: an import, a docstring, a block for type checkers, or `__all__`."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
    return False


@cache
def _imports(module: str) -> tuple[tuple[str, str, str | None], ...]:
    """List a module's imports from this package, each as (local name, defining module, name in the defining module).

    For an import of a whole module the last part is None. Imports within functions count, those for type checkers do
    not.
    """
    return tuple(
        (name.asname or name.name, *_definition(str(node.module), name.name))
        for node in _statements(_tree(module))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE.name
        for name in node.names
    )


def _definition(module: str, name: str) -> tuple[str, str | None]:
    """Find the module that defines a name imported from `module`, which may be a package that re-exports the name."""
    if _path(f"{module}.{name}").exists():
        return f"{module}.{name}", None
    if _path(module).name == "__init__.py":
        origins = {local: (origin, original) for local, origin, original in _imports(module)}
        return origins.get(name, (module, name))
    return module, name


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes except those in blocks for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and _is_idle(node)):
            yield node
            yield from _statements(node)


def _tree(module: str) -> ast.Module:
    """Parse the source of a module."""
    return ast.parse(_path(module).read_text())


def _path(module: str) -> Path:
    """Return the source file of a module or package."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def provenance(stage: str, packages: Iterable[str] = ("torch", "numpy")) -> dict[str, Any]:
    """Return how a record is made: time (UTC), commit, hash of the stage's code, versions, processor and Slurm job."""
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
    """Return the id of the Slurm job of this process, as squeue writes it; None outside of Slurm."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    return f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID")


def _version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _commit() -> str | None:
    """Return the commit of the source, with + where the working tree differs; None outside of a checkout."""
    command = ["git", "-C", str(PACKAGE.parent), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def processor() -> str:
    """Return the name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
