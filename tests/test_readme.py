"""README.md, literally: its YAML plans, its commands run, its links lead somewhere, and it leaves nothing to git."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from checkout import REPOSITORY, Checkout, clone
from click.testing import CliRunner, Result
from forks import snakemake
from made_up import write_records
from PIL import Image
from test_prediction import write_timings

from fastscale.analysis import aggregate
from fastscale.artefacts import ARTEFACTS
from fastscale.cli import main
from fastscale.sweep import Sweep

README = (REPOSITORY / "README.md").read_text()
SWEEPS = re.findall(r"^```yaml\n(.*?)^```", README, re.M | re.S)
CODE = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
INLINE = [" ".join(code.split()) for code in re.findall(r"`((?:snakemake|fastscale\s\w+)\s[^`]+)`", README)]
COMMANDS = [line.partition("  #")[0].strip() for line in re.findall(r"^    (\S.*)", README, re.M)] + INLINE
# What takes minutes or a GPU, or changes records, is only planned or looked up.
LONG = ("fastscale profile", "fastscale verdict", "fastscale train")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A clone with made-up records of the default sweep, under git, and the sweep that README shows as my.yaml."""
    checkout = clone(tmp_path_factory.mktemp("readme"))
    for name in ("config.yaml", "Makefile", ".gitignore"):
        shutil.copy(REPOSITORY / name, checkout.folder)
    shutil.copytree(REPOSITORY / "requirements", checkout.folder / "requirements")
    (checkout.folder / "my.yaml").write_text(SWEEPS[0])
    git(checkout, "init", "-q")
    git(checkout, "add", "-A")
    git(checkout, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a clone, and my.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(checkout.folder)
        sweep = write_records(Sweep.from_config(yaml.safe_load(Path("config.yaml").read_text())))
        drawn = aggregate(sweep, "fig6")
        for artefact, paths in sweep.artefacts.items():
            if ARTEFACTS[artefact].kind != "figure":
                aggregate(sweep, artefact)
            elif artefact != "fig6":  # what each shows in a report of this sweep is seen in test_report.py
                for one, path in zip(drawn, paths, strict=True):
                    shutil.copy(one, path)
        yield checkout
    assert git(checkout, "status", "--porcelain") == "", "README's commands leave files that git does not ignore"


def git(checkout: Checkout, *arguments: str) -> str:
    command = ["git", "-C", str(checkout.folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_there_is_something_to_test() -> None:
    verbs = {" ".join(command.split()[:2]) for command in COMMANDS}
    assert {"make run", "make test", "snakemake all", "fastscale advise", "fastscale aggregate"} <= verbs
    assert len(SWEEPS) >= 3 and len(CODE) == 1 and len(COMMANDS) > 15


@pytest.mark.slow
@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_commands(folder: Checkout, command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "fastscale":
        main.commands[arguments[0]].make_context(command, arguments[1:])
        if not command.startswith(LONG):
            ran = run_fastscale(folder, *arguments)
            assert ran.exit_code == 0, ran.output
    elif program == "snakemake":
        dry = [] if {"plan", "--report"} & set(arguments) else ["-n"]
        ran = snakemake(folder.folder, *arguments, *dry)
        assert ran.returncode == 0 and "Traceback" not in ran.stdout, ran.stdout
    else:
        assert program == "make", f"how is this to be tried? {command}"
        subprocess.run([program, "-n", *arguments], cwd=folder.folder, check=True)


def run_fastscale(folder: Checkout, *arguments: str) -> Result:
    """Run a verb, with the timings that README has made by `fastscale profile`."""
    if "--profiles" in arguments:
        write_timings(folder.folder / arguments[arguments.index("--profiles") + 1], {"acts": 1e-11, "layers": 1e-6})
    return CliRunner().invoke(main, arguments)


@pytest.mark.slow
@pytest.mark.parametrize("block", SWEEPS)
def test_sweeps(folder: Checkout, tmp_path: Path, block: str) -> None:
    """A block that is no whole sweep stands in place of the same keys of my.yaml."""
    whole, own = yaml.safe_load(SWEEPS[0]), yaml.safe_load(block)
    if "search" in own:
        del whole["define"]
    config = {**whole, **own}
    if config["data"]["kind"] == "imagefolder":
        config["data"]["path"] = str(pictures(tmp_path, config["data"]["classes"]))
    path = tmp_path / "block.yaml"
    path.write_text(yaml.safe_dump(config))
    ran = snakemake(folder.folder, "-n", "all", "--configfile", str(path))
    assert ran.returncode == 0 and re.search(r"^train +\d+$", ran.stdout, re.M), ran.stdout
    assert any(f"rule {figure}:" in ran.stdout for figure in config["figures"]) or "rule search:" in ran.stdout


def pictures(folder: Path, classes: int) -> Path:
    for split in ("train", "val"):
        for label in range(classes):
            (folder / split / f"class {label}").mkdir(parents=True)
            Image.fromarray(np.full((8, 8), 20 * label, np.uint8)).save(folder / split / f"class {label}/1.png")
    return folder


@pytest.mark.parametrize("code", CODE)
def test_code(code: str) -> None:
    names: dict = {}
    exec(code, names)
    assert sum(weights.numel() for weights in names["model"].parameters()) > 1e7


def test_links() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) > 5 and [link for link in links if not (REPOSITORY / link).exists()] == []
