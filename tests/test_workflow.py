"""The DAG on this machine, end to end, on real images."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest
from checkout import Checkout

pytestmark = pytest.mark.slow


def rules_run(output: str) -> list[str]:
    return sorted(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", output))


def artefacts(checkout: Checkout) -> dict[Path, bytes]:
    folder = checkout.folder / "results/small"
    made = [path for kind in ("tables", "figures") for path in sorted((folder / kind).iterdir())]
    return {path: path.read_bytes() for path in [*made, *folder.glob("README.md")]}


def test_a_sweep_from_images_to_figures(checkout: Checkout) -> None:
    ran = checkout.snakemake("all")
    assert ran.returncode == 0, ran.stdout
    assert rules_run(ran.stdout).count("train") == 8 and rules_run(ran.stdout).count("profile") == 1
    assert ran.stdout.index("checkpoint data:") < ran.stdout.index("rule profile:"), "what lacks data is told at once"
    assert re.search(r"^\d+ claims: holds \d+, .*; begin with results/small/README.md$", ran.stdout, re.M), ran.stdout
    made = artefacts(checkout)
    names = {path.name for path in made}
    assert {"claims.html", "networks.csv", "table1.tex", "fig1.svg", "fig6.pdf", "learning.svg", "README.md"} <= names
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


def test_one_target_makes_one_artefact(checkout: Checkout) -> None:
    for target, rules in {
        "fig6": {"fig6"},
        "table3": {"definitions", "table3"},
        "claims": {"overview", "claims"},
        "prediction": {"timings", "prediction"},
        "tables": {"overview", "timings", "definitions", "tables"},
        "figures": {"overview", "definitions", "figures", "fig1", "fig6"},
    }.items():
        for path in artefacts(checkout):
            path.unlink()
        ran = checkout.snakemake(target)
        assert ran.returncode == 0 and set(rules_run(ran.stdout)) == rules, ran.stdout
    assert checkout.snakemake("all").returncode == 0


def test_a_training_reserves_what_timings_say_and_waits_for_none(checkout: Checkout) -> None:
    def reserved(*options: str) -> set[int]:
        planned = checkout.snakemake("-n", "--forcerun", "train", *options, "--", "all").stdout
        return {int(found) for found in re.findall(r"rule train:.*?runtime=(\d+)", planned, re.DOTALL)}

    assert reserved() == {31}, "seconds, and time to start"
    (timings,) = (checkout.folder / "results/small/profile").iterdir()
    timings.rename(timings.with_suffix(".away"))
    assert reserved() == {1440}
    (record, *_) = (checkout.folder / "results/small/train").glob("*/1x-1.json")
    alone = checkout.snakemake("-n", "--forcerun", "train", "--", str(record.relative_to(checkout.folder))).stdout
    assert "rule train:" in alone and "rule profile:" not in alone, alone
    timings.with_suffix(".away").rename(timings)


def test_complexity_needs_no_record_and_the_plan_makes_none(checkout: Checkout) -> None:
    checkout.configure(sweep="other")
    ran = checkout.snakemake("complexity")
    assert ran.returncode == 0 and set(rules_run(ran.stdout)) == {"describe", "complexity"}, ran.stdout
    planned = checkout.snakemake("plan")
    assert planned.returncode == 0 and "8 trainings, 0 of them done" in planned.stdout, planned.stdout
    checkout.configure()
    folder = checkout.folder / "results/other"
    assert {path.name for path in folder.iterdir()} == {"complexity", "logs", "sweep.json"}
    assert "Complexity alone" in (folder / "complexity/tables/networks.md").read_text()


def test_a_search_finds_a_base_that_is_scaled(checkout: Checkout) -> None:
    """Candidates are trained first; what rests on the best one is planned then."""
    space = {"depth": [2, 4], "w0": [8, 16], "wa": [4, 16], "group_width": [8], "resolution": [12, 20, 4]}
    space |= {"stages": [1, 3], "stem_width": 8}
    search = {"Found": {"family": "RegNetY", "flops": [4e4, 1e5], "networks": 2, "space": space}}
    table = {"networks": ["Found", "Found->4x"]}
    checkout.configure(
        search=search,
        define={"Found->4x": {"scale": "Found", "strategy": "dWr", "factor": 4}},
        tables={"table7": table},
    )
    ran = checkout.snakemake("table7", "searches")
    assert ran.returncode == 0, ran.stdout
    counts = Counter(rules_run(ran.stdout))
    assert counts["search"] == 1 and counts["train"] == 2 + 1 + 2, "the best candidate's first trial is there"
    record = checkout.record("search/Found.json")
    errors = {one["network"]: one["top1_error"] for one in record["candidates"]}
    assert errors[record["network"]] == min(errors.values()) and len(errors) == 2
    with (checkout.folder / "results/small/tables/table7.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    assert [row["network"] for row in rows] == ["Found", "Found->4x"] and all(row["error_1x"] for row in rows)
    again = checkout.snakemake("table7", "searches")
    checkout.configure()
    assert "Nothing to be done" in again.stdout, again.stdout


def test_a_wider_sweep_trains_only_what_is_new(checkout: Checkout) -> None:
    """Also: the same point under another name is the same network."""
    grid = {"bases": ["RegNetY-tiny", "EN-tiny"], "strategies": ["w", "alpha=1"]}
    checkout.configure(grid=grid)
    same = checkout.snakemake("-n", "all")
    assert "rule scale" in same.stdout and "rule train" not in same.stdout, same.stdout
    timed = checkout.record("profile/fixed.json")["records"]
    checkout.configure(grid={**grid, "scales": [1, 2, 4]}, figures={})
    wider = checkout.snakemake("-n", "all")
    assert len(re.findall(r"^rule train:", wider.stdout, re.M)) == 4, wider.stdout
    ran = checkout.snakemake("results/small/profile/fixed.json")
    records = {record["network"]: record for record in checkout.record("profile/fixed.json")["records"]}
    checkout.configure()
    assert ran.returncode == 0 and len(records) == 6 and all(records[one["network"]] == one for one in timed), (
        "what is timed already is not timed again"
    )


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


def test_damaged_data_is_told_before_a_job_asks_for_a_gpu(checkout: Checkout) -> None:
    assert checkout.snakemake("all").returncode == 0
    (beton,) = checkout.folder.glob("data/*/train.beton")
    (record, *_) = sorted((checkout.folder / "results/small/train").glob("*/*.json"))
    record.unlink()
    whole = beton.read_bytes()
    beton.write_bytes(whole[:-1])
    ran = checkout.snakemake("all")
    beton.write_bytes(whole)
    assert ran.returncode != 0 and "train.beton is damaged" in ran.stdout, ran.stdout
    assert "rule train" not in ran.stdout and "Traceback" not in ran.stdout
