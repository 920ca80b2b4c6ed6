"""Fixtures for every test, and the skipping of tests that need a program which is not installed."""

import os
import shutil
from itertools import chain, groupby, zip_longest

import pytest
from browser import browser
from checkout import checkout
from hypothesis import settings

__all__ = ["browser", "checkout"]

# Threads of torch that wait for each other sleep: on a busy machine they would spin most of the time.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# torch's compiler works in the test's own process: each of its helpers would import torch for a few small kernels.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

# No test has a deadline: on a busy machine an example takes longer than Hypothesis allows by default.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# Programs that fixtures need. Each tuple lists alternatives, of which one must be installed; its last name is the
# package to install.
SLURM = (("sbatch", "slurm-wlm"), ("slurmctld", "slurm-wlm"), ("slurmd", "slurm-wlm"), ("munged", "munge"))
DATABASE = (("slurmdbd",), ("mariadbd", "mariadb-server-core"), ("my_print_defaults", "mariadb-client"))
NEEDS = {
    "browser": (("google-chrome", "chromium"), ("chromedriver", "chromium-driver")),
    "slurm": SLURM,
    "accounted": (*SLURM, *DATABASE),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files in the order that ends soonest; skip tests whose programs are missing, with the reason.

    In CI nothing is skipped, as CI installs all programs.
    """
    items[:] = in_order(items)
    if os.environ.get("CI"):
        return
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    for item in items:
        # The name of the folder too: tests in slurm/ continue from each other, so all of them are skipped or none.
        names = {*getattr(item, "fixturenames", ()), item.path.parent.name}
        for fixture in names & set(NEEDS):
            missing = [
                programs[-1]
                for programs in NEEDS[fixture]
                if not any(shutil.which(program, path=path) for program in programs)
            ]
            if missing:
                named = " and ".join(dict.fromkeys(missing))
                item.add_marker(pytest.mark.skip(reason=f"{fixture} needs {named}, which is not installed"))


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Put files with slow tests first, as the last ones keep single processes busy; of these, those on Slurm and others
    in turn, as the former wait while the latter compute.
    """
    files = [list(file) for _, file in groupby(items, lambda item: item.path)]
    slow = [file for file in files if any(item.get_closest_marker("slow") for item in file)]
    on_slurm = [file for file in slow if file[0].path.parent.name == "slurm"]
    turns = zip_longest(on_slurm, [file for file in slow if file not in on_slurm], fillvalue=[])
    return [*chain(*chain(*turns)), *chain(*(file for file in files if file not in slow))]
