"""The project as in a user's clone, with a sweep small enough for a test."""

import copy
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks
import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
HOSTILE = f'it\'s "a" $HOME of über-{"long " * 35}names'  # 200 characters

# Real images, real trainings, a few seconds: two bases at two scales.
SMALL: dict[str, Any] = {
    "sweep": "small",
    "data": {
        "kind": "fashion-mnist",
        "classes": 10,
        "train_images": 1000,
        "val_images": 500,
        "max_resolution": 28,
        "write_mode": "raw",
    },
    "scales": [1, 4],
    "grid": {"bases": ["RegNetY-tiny", "EN-tiny"], "strategies": ["w"]},
    "figures": {
        "fig1": {"bases": ["RegNetY-tiny", "EN-tiny"], "strategies": ["w"]},
        "fig6": {"bases": ["EN-tiny"], "strategies": ["w"]},
    },
    "schedules": {"1x": 1},
    "trials": 2,
    "recipe": {"batch": 100},
    "profile": {"repeats": 2},
}


@dataclass(frozen=True)
class Checkout:
    """A folder with the workflow's files, as in a clone, and a small sweep; Snakemake runs under `python`."""

    folder: Path
    python: Path = Path(sys.executable)

    def configure(self, **changes: Any) -> None:
        """Write the small sweep, changed, as the folder's config.yaml."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump({**copy.deepcopy(SMALL), **changes}))

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake in the folder, as a user does; standard error is part of the output.

        Under the Python of the tests, Snakemake is a fork of a process that has imported it already.
        """
        if self.python == Path(sys.executable):
            return forks.snakemake(self.folder, *arguments, **{**os.environ, **environment})
        return subprocess.run(
            [self.python, "-m", "snakemake", *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def record(self, path: str) -> dict[str, Any]:
        """Read a record of the small sweep."""
        return json.loads((self.folder / "results/small" / path).read_text())


def clone(folder: Path, python: Path = Path(sys.executable)) -> Checkout:
    """Copy the workflow's files to an empty folder, and write the small sweep as its configuration."""
    for name in ("Snakefile", "workflow", "profiles"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    (folder / "slurm").symlink_to("profiles/slurm")
    checkout = Checkout(folder, python)
    checkout.configure()
    return checkout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Make a checkout for all tests of a module, in a folder with a hostile name."""
    folder = tmp_path_factory.mktemp("checkout") / HOSTILE
    folder.mkdir()
    return clone(folder)
