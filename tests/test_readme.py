"""README.md and docs/, literally: YAML plans, commands run, links lead somewhere, and nothing is left to git."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
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
from fastscale.cli.main import main
from fastscale.sweep.catalogue import ARTEFACTS
from fastscale.sweep.sweep import Sweep

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
# Blocks with a title are files of other programs; the first sweep that is whole is the tutorial's my.yaml.
SWEEPS = sorted(re.findall(r"^```yaml\n(.*?)^```", TEXT, re.M | re.S), key=lambda block: not block.startswith("sweep:"))
CODE = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)
BLOCKS = re.findall(r"^```bash\n(.*?)^```", TEXT, re.M | re.S)
INLINE = [" ".join(code.split()) for code in re.findall(r"`((?:snakemake|fastscale\s\w+)\s[^`]+)`", TEXT)]
LINES = [line for block in BLOCKS for line in block.splitlines()] + INLINE
COMMANDS = [command for line in LINES if (command := re.sub(r"(^|\s+)#.*", "", line))]
# What takes minutes or a GPU, changes records, or needs those of several devices is only planned or looked up.
LONG = ("fastscale profile", "fastscale verdict", "fastscale train", "fastscale compare")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A clone with made-up records of the default sweep, under git, and the tutorial's my.yaml."""
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
    assert git(checkout, "status", "--porcelain") == "", "commands leave files that git does not ignore"


def git(checkout: Checkout, *arguments: str) -> str:
    command = ["git", "-C", str(checkout.folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_there_is_something_to_test() -> None:
    verbs = {" ".join(command.split()[:2]) for command in COMMANDS}
    assert {"make run", "make test", "snakemake all", "fastscale advise", "fastscale aggregate"} <= verbs
    assert yaml.safe_load(SWEEPS[0]).keys() >= {"sweep", "data", "define", "figures"}
    assert len(SWEEPS) >= 4 and len(CODE) >= 2 and len(COMMANDS) > 30


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
    """Run a verb, with the timings that a page has made by `fastscale profile`."""
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
    assert "model" not in names or sum(weights.numel() for weights in names["model"].parameters()) > 1e7


def test_module(tmp_path: Path) -> None:
    """The workflow as a module of another one, with the Snakefile and the configuration that the page shows."""
    text = (REPOSITORY / "docs/howto/module.md").read_text()
    config, snakefile = re.findall(r"^```\w+ title=.*?\n(.*?)^```", text, re.M | re.S)
    (tmp_path / "config.yaml").write_text(config)
    (tmp_path / "Snakefile").write_text(snakefile.replace("path/to/fastscale", str(REPOSITORY)))
    ran = Checkout(tmp_path).snakemake("-n", "--cores", "1")
    assert ran.returncode == 0 and re.search(r"^fastscale_train +3$", ran.stdout, re.M), ran.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links(page: Path) -> None:
    links = [
        link.partition("#")[0] for link in re.findall(r"\]\(([^)#]+[^)]*)\)", page.read_text()) if "://" not in link
    ]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_architecture_is_that_of_the_linter() -> None:
    """The page's layers are those of .importlinter, from the top down, with the same rooms in each."""
    contracts = ConfigParser()
    contracts.read(REPOSITORY / ".importlinter")
    layers = contracts["importlinter:contract:layers"]["layers"].split("\n")
    linted = [sorted(layer.split(" | ")) for layer in filter(None, layers)]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", (REPOSITORY / "docs/architecture.md").read_text(), re.M)
    told = {number: sorted(room for other, room in rows if other == number) for number, _ in rows}
    assert list(told.values()) == linted
    assert [int(number) for number in told] == list(range(len(linted), 0, -1))
