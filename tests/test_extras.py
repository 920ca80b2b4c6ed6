"""What `pip install fastscale` brings, from a wheel in an empty folder, and what is said where an extra is missing."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from fastscale.records.networks import read_networks, write_networks

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent

pytestmark = pytest.mark.slow


def index() -> dict[str, str]:
    """Hand pip's index on to uv, as requirements/setup.sh does: what it installed is in uv's cache."""
    told = subprocess.run([TOOLS / "pip", "config", "get", "global.index-url"], capture_output=True, text=True)
    url = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or told.stdout.strip()
    return {"UV_DEFAULT_INDEX": url} if url else {}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder beside an environment that has fastscale without extras; returns the programs of the latter."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "empty").mkdir()
    subprocess.run([TOOLS / "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([TOOLS / "uv", "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    options = ["--quiet", "--link-mode", "symlink", "--constraint", ROOT / "requirements/lock.txt"]
    command = [TOOLS / "uv", "pip", "install", *options, "--python", folder / "venv/bin/python", wheel]
    subprocess.run(command, env=os.environ | index(), check=True)
    link_bytecode(folder / "venv" / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix))
    return folder / "venv/bin"


def link_bytecode(packages: Path) -> None:
    """Link the bytecode of this Python's packages, which takes seconds to compile; that of other files is not used.

    Only packages that are there already have a folder for it: none is added.
    """
    ours = Path(sysconfig.get_path("purelib"))
    for package in packages.iterdir():
        for cache in (ours / package.name).rglob("__pycache__"):
            place = packages / cache.relative_to(ours)
            if place.parent.is_dir():
                place.mkdir(exist_ok=True)
                for file in cache.iterdir():
                    (place / file.name).symlink_to(file)


def run(programs: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    folder = programs.parents[1] / "empty"
    return subprocess.run([programs / program, *arguments], env=environment, cwd=folder, capture_output=True, text=True)


def test_networks_are_scaled_counted_and_planned(installed: Path) -> None:
    scaled = run(installed, "fastscale", "scale", "EN-B0", "--flops", "16GF")
    assert (scaled.returncode, scaled.stderr) == (0, "") and "resolution" in scaled.stdout
    advised = run(installed, "fastscale", "advise", "EN-B0", "--flops", "16GF")
    assert (advised.returncode, advised.stderr) == (0, ""), advised.stderr
    asked = {"fig6": {"bases": ["EN-B0"], "strategies": ["dWr"]}}
    config = {"sweep": "s", "data": {"kind": "fashion-mnist", "classes": 10}, "figures": asked}
    assert run(installed, "fastscale", "describe", "sweep.json", "--config", json.dumps(config)).stderr == ""
    planned = run(installed, "fastscale", "plan", "--sweep", "sweep.json")
    assert (planned.returncode, planned.stderr) == (0, "") and "train" in planned.stdout


def test_networks_are_built_and_timed(installed: Path) -> None:
    code = """
import sys, fastscale
assert "torch" not in sys.modules
model = fastscale.create_model("RegNetY-tiny", scale=2, classes=7)
import torch
print(tuple(model(torch.zeros(2, 3, model.resolution, model.resolution)).shape))
"""
    built = run(installed, "python", "-c", code)
    assert (built.returncode, built.stdout, built.stderr) == (0, "(2, 7)\n", "")
    assert run(installed, "fastscale", "probes", "RegNetY-tiny", "--record", "networks.json").returncode == 0
    probes = installed.parents[1] / "empty/networks.json"
    write_networks(probes, read_networks(probes)[:2])  # all take a minute
    small = ["--batch", "2", "--repeats", "2", "--format", "contiguous"]
    timed = run(installed, "fastscale", "profile", "networks.json", "--record", "profiles.json", *small)
    assert timed.returncode == 0, timed.stderr


@pytest.mark.parametrize(
    ("extra", "package", "command"),
    [
        ("train", "numba", "train EN-B0 --data d --recipe {} --schedule 1x --checkpoints c --record r"),
        ("train", "torchvision", "data d --config {}"),
        ("workflow", "matplotlib", "aggregate fig1 --sweep s"),
        ("workflow", "matplotlib", "verdict"),
    ],
)
def test_missing_extra_is_a_sentence(installed: Path, extra: str, package: str, command: str) -> None:
    """It names the extra; nothing was begun."""
    ran = run(installed, "fastscale", *command.split())
    assert (ran.returncode, ran.stdout) == (1, "")
    assert package in ran.stderr and ran.stderr.endswith(f': pip install "fastscale[{extra}]" adds them\n')
    assert len(ran.stderr.splitlines()) == 1


def test_files_that_are_not_installed_are_a_sentence(installed: Path) -> None:
    (installed_as,) = installed.parent.glob("lib/*/site-packages/fastscale-*.dist-info")
    hidden = installed_as.rename(installed_as.with_name("hidden"))
    ran = run(installed, "python", "-m", "fastscale.cli.main", "verdict")
    hidden.rename(installed_as)
    assert (ran.returncode, ran.stdout) == (1, "") and len(ran.stderr.splitlines()) == 1
    assert ran.stderr.startswith("Error: fastscale is not installed here") and "fastscale[workflow]" in ran.stderr
