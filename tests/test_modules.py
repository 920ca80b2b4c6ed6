"""What holds for each module."""

import pytest
from checkout import REPOSITORY

MOST = 300  # lines: what is longer is cut by its ideas
FOLDERS = ("fastscale", "snakemake_executor_plugin_submitit", "workflow", "benchmarks", "docs")
MODULES = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*") if path.suffix in (".py", ".smk")]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_module_is_short(path) -> None:
    lines = path.read_text().count("\n")
    assert lines <= MOST, f"{path} has {lines} lines"
