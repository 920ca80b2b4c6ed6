"""The hash of a stage's code: which changes of the code change it, and which do not."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from fastscale.records.provenance import ENTRIES, EXEMPT, PACKAGE, code_hash, hashed_modules

IMPORTED = """
import importlib, sys
importlib.import_module(sys.argv[1])
ours = {name: module for name, module in sys.modules.items() if name.startswith("fastscale.")}
print(*(name for name, module in ours.items() if not hasattr(module, "__path__")))
"""
HASHES = """
from fastscale.records.provenance import ENTRIES, code_hash
print(*map(code_hash, ENTRIES))
"""


def run(code: str, *arguments: str, folder: Path = PACKAGE.parent) -> list[str]:
    """Run Python code in a folder; return the words that it prints."""
    command = [sys.executable, "-c", code, *arguments]
    # By PYTHONPATH, as the command line, which other tests call in this process, sets PYTHONSAFEPATH.
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.split()


@cache
def imported(stage: str) -> frozenset[str]:
    """Return the modules of fastscale, without packages, that importing a stage's entry module loads."""
    return frozenset(run(IMPORTED, ENTRIES[stage]))


@pytest.mark.parametrize("stage", ENTRIES)
def test_each_module_that_a_stage_imports_is_hashed_or_exempt(stage: str) -> None:
    assert ENTRIES[stage] in imported(stage)
    assert not imported(stage) - set(hashed_modules(stage)) - set(EXEMPT)


def test_no_exemption_is_idle_or_without_a_reason() -> None:
    assert not set(EXEMPT) - frozenset.union(*map(imported, ENTRIES))
    assert all(EXEMPT.values())


def edit(package: Path, pattern: str, new: str, files: str = "**/*.py") -> None:
    """Replace a regular expression in some files of a package; at least one file must match."""
    texts = {path: path.read_text() for path in package.glob(files)}
    changed = {path: re.sub(pattern, new, text) for path, text in texts.items() if re.search(pattern, text)}
    assert changed, pattern
    for path, text in changed.items():
        path.write_text(text)


def move_a_definition(package: Path) -> None:
    devices = package / "runtime/devices.py"
    (definition,) = re.findall(r"^def precision\(.*?(?=\n\n\n)", devices.read_text(), re.DOTALL | re.MULTILINE)
    edit(package, re.escape(definition), "", "runtime/devices.py")
    (package / "runtime/formats.py").write_text(f"import torch\n\n\n{definition}\n")
    edit(package, r"fastscale\.runtime\.devices import precision\b", "fastscale.runtime.formats import precision")


def rename_a_module(package: Path) -> None:
    (package / "runtime/distributed.py").rename(package / "runtime/processes.py")
    edit(package, r"fastscale\.runtime\.distributed\b", "fastscale.runtime.processes")


def rename_a_module_that_is_named_where_it_is_used(package: Path) -> None:
    (package / "profiling/peaks.py").rename(package / "profiling/maxima.py")
    edit(package, r"fastscale\.profiling import peaks\b", "fastscale.profiling import maxima")
    edit(package, r"\bpeaks\.(measure|best)\b", r"maxima.\1")


def import_a_name_instead_of_its_module(package: Path) -> None:
    names = "best as best_peaks, measure as measured_peaks"
    edit(package, r"fastscale\.profiling import peaks\b", f"fastscale.profiling.peaks import {names}")
    edit(package, r"\bpeaks\.measure\b", "measured_peaks")
    edit(package, r"\bpeaks\.best\b", "best_peaks")


def change_docstrings_and_comments(package: Path) -> None:
    edit(package, r'^"""', '"""Once more: ', "*/*.py")
    edit(package, r'(\n    """)(?=\w)', r"\1Once more: ", "*/*.py")
    edit(package, r"\n\n\ndef ", "\n\n\n# A comment.\ndef ", "*/*.py")


def change_what_is_exempt(package: Path) -> None:
    edit(package, r"\{place\}: ", "{place}; ", "errors.py")


def change_an_expression(package: Path) -> None:
    edit(package, r"return torch\.float32\n", "return torch.float64\n", "runtime/devices.py")


def change_a_table(package: Path) -> None:
    edit(package, r"\bEqualize, 0\.8\b", "Equalize, 0.7", "data/autoaugment.yaml")


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        (move_a_definition, ()),
        (rename_a_module, ()),
        (rename_a_module_that_is_named_where_it_is_used, ()),
        (import_a_name_instead_of_its_module, ()),
        (change_docstrings_and_comments, ()),
        (change_what_is_exempt, ()),
        (change_an_expression, ("profile", "train")),
        (change_a_table, ("train",)),
    ],
)
def test_the_hash_changes_with_what_is_computed_alone(
    tmp_path: Path, change: Callable[[Path], None], stages: tuple[str, ...]
) -> None:
    package = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    change(package)
    hashes = dict(zip(ENTRIES, run(HASHES, folder=tmp_path), strict=True))
    assert {stage for stage in ENTRIES if hashes[stage] != code_hash(stage)} == set(stages)
