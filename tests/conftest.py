"""Makes fixtures available to every test, and skips those tests for which a program is missing here."""

import os
import shutil
from itertools import chain, groupby, zip_longest

import pytest
from browser import browser
from checkout import checkout
from hypothesis import settings

__all__ = ["browser", "checkout"]

# Threads of torch that wait for one another sleep: on a busy machine they would spin for most of its time.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# No test depends on the clock: a busy machine takes longer than Hypothesis allows by itself.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# What fixtures rest on and a distribution may lack: of each tuple one program, whose package has the name at its end.
SLURM = (("sbatch", "slurm-wlm"), ("slurmctld", "slurm-wlm"), ("slurmd", "slurm-wlm"), ("munged", "munge"))
DATABASE = (("slurmdbd",), ("mariadbd", "mariadb-server-core"), ("my_print_defaults", "mariadb-client"))
NEEDS = {
    "browser": (("google-chrome", "chromium"), ("chromedriver", "chromium-driver")),
    "slurm": SLURM,
    "accounted": (*SLURM, *DATABASE),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files in the order that ends soonest; skip, saying why, what cannot run here.

    CI installs everything: there it fails.
    """
    items[:] = in_order(items)
    if os.environ.get("CI"):
        return
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    for item in items:
        asked = {*getattr(item, "fixturenames", ()), item.path.parent.name}  # those in slurm/ go on from one another
        for fixture in asked & set(NEEDS):
            if missing := [one[-1] for one in NEEDS[fixture] if not any(shutil.which(name, path=path) for name in one)]:
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
