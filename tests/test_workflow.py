"""The DAG on this machine, end to end, on real images."""

import re
from pathlib import Path

import pytest
from checkout import Checkout

pytestmark = pytest.mark.slow


def rules_run(output: str) -> list[str]:
    return sorted(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", output))


def artefacts(checkout: Checkout) -> dict[Path, bytes]:
    folder = checkout.folder / "results/small"
    return {path: path.read_bytes() for kind in ("tables", "figures") for path in sorted((folder / kind).iterdir())}


def test_a_sweep_from_images_to_figures(checkout: Checkout) -> None:
    ran = checkout.snakemake("all")
    assert ran.returncode == 0, ran.stdout
    assert rules_run(ran.stdout).count("train") == 8 and rules_run(ran.stdout).count("profile") == 1
    made = artefacts(checkout)
    names = {path.name for path in made}
    assert {"networks.csv", "networks.md", "table1.md", "fig1.svg", "fig6.pdf"} <= names
    assert all(made.values())
    trained = {path.parent.name for path in (checkout.folder / "results/small/train").glob("*/*.json")}
    assert {path.name for path in (checkout.folder / "results/small/checkpoints").iterdir()} == trained

    again = checkout.snakemake("all")
    assert again.returncode == 0 and "Nothing to be done" in again.stdout, again.stdout

    (checkout.folder / "results/small/figures/fig6.svg").unlink()
    once_more = checkout.snakemake("all")
    assert rules_run(once_more.stdout) == ["all", "fig6"], once_more.stdout
    assert artefacts(checkout) == made

    (record, *_) = sorted((checkout.folder / "results/small/train").glob("EfficientNet*/1x-2.json"))
    record.unlink()
    again = checkout.snakemake("all")
    assert record.exists() and rules_run(again.stdout).count("train") == 1, again.stdout
    assert artefacts(checkout) == made, "it was not trained anew: its checkpoints say that it has ended"


def test_a_wider_sweep_trains_only_what_is_new(checkout: Checkout) -> None:
    """Also: the same point under another name is the same network."""
    grid = {"bases": ["RegNetY-tiny", "EN-tiny"], "strategies": ["w", "alpha=1"], "scales": [1, 4]}
    checkout.configure(grid=grid)
    same = checkout.snakemake("-n", "all")
    assert "rule train" not in same.stdout and "rule profile" not in same.stdout, same.stdout
    checkout.configure(grid={**grid, "scales": [1, 2, 4]}, figures={})
    wider = checkout.snakemake("-n", "all")
    assert len(re.findall(r"^rule train:", wider.stdout, re.M)) == 4, wider.stdout
    checkout.configure()


def test_a_longer_schedule_trains_again(checkout: Checkout) -> None:
    checkout.configure(schedules={"1x": 2})
    longer = checkout.snakemake("-n", "all")
    checkout.configure()
    assert len(re.findall(r"^rule train:", longer.stdout, re.M)) == 8, longer.stdout


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trails": 3}, "config.yaml: unknown key 'trails'"),
        ({"grid": {"bases": ["EN-B9"], "strategies": ["w"], "scales": [1]}}, "unknown base 'EN-B9'"),
        ({"recipe": {"lamda": 1}}, "lamda"),
        ({"data": {"kind": "imagefolder", "classes": 3, "path": "nowhere"}}, "nowhere"),
    ],
)
def test_a_mistake_is_a_sentence_and_a_failure(checkout: Checkout, change: dict, told: str) -> None:
    checkout.configure(**change)
    before = sorted((checkout.folder / "results").rglob("*.json"))
    ran = checkout.snakemake("all")
    checkout.configure()
    assert ran.returncode != 0 and told in ran.stdout, ran.stdout
    assert "Traceback" not in ran.stdout
    assert [path for path in before if not path.exists()] == []


def test_without_slurm_the_slurm_profile_says_so(checkout: Checkout) -> None:
    ran = checkout.snakemake("--profile", "slurm", "all", PATH="/nonexistent")
    assert ran.returncode != 0 and "sbatch" in ran.stdout, ran.stdout
