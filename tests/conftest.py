"""Makes fixtures available to every test, and skips those tests for which a program is missing here."""

import os
import shutil

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
    """Skip, saying why, what cannot run here. CI installs everything: there it fails."""
    if os.environ.get("CI"):
        return
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    for item in items:
        asked = {*getattr(item, "fixturenames", ()), item.path.parent.name}  # those in slurm/ go on from one another
        for fixture in asked & set(NEEDS):
            if missing := [one[-1] for one in NEEDS[fixture] if not any(shutil.which(name, path=path) for name in one)]:
                named = " and ".join(dict.fromkeys(missing))
                item.add_marker(pytest.mark.skip(reason=f"{fixture} needs {named}, which is not installed"))
