"""The DAG on this machine, end to end, on real images."""

import csv
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from checkout import Checkout

pytestmark = pytest.mark.slow


def rules_run(output: str) -> list[str]:
    return sorted(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", output))


def planned(output: str) -> set[str]:
    return set(re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):", output, re.M))


def reserved(output: str) -> list[int]:
    """The minutes of each training that was planned."""
    return [int(found) for found in re.findall(r"^rule train:.*?runtime=(\d+)", output, re.DOTALL | re.M)]


def artefacts(checkout: Checkout) -> dict[Path, bytes]:
    folder = checkout.folder / "results/small"
    made = [path for kind in ("tables", "figures") for path in sorted((folder / kind).iterdir())]
    return {path: path.read_bytes() for path in [*made, *folder.glob("README.md")]}


def configure(checkout: Checkout, **changes: Any) -> None:
    """The small sweep, changed; of each network one training, unless they say more."""
    checkout.configure(**{"trials": 1, **changes})


@pytest.fixture(scope="module")
def made(checkout: Checkout) -> dict[Path, bytes]:
    """All artefacts, as the whole sweep has made them."""
    configure(checkout)
    ran = checkout.snakemake("all")
    assert ran.returncode == 0, ran.stdout
    assert rules_run(ran.stdout).count("train") == 4 and rules_run(ran.stdout).count("profile") == 1
    assert ran.stdout.index("checkpoint data:") < ran.stdout.index("rule profile:"), "what lacks data is told at once"
    assert re.search(
        r"^Of the paper's \d+ claims on measurements: \d+ .*; begin with results/small/README.md$", ran.stdout, re.M
    ), ran.stdout
    return artefacts(checkout)


def test_a_sweep_from_images_to_figures(checkout: Checkout, made: dict[Path, bytes]) -> None:
    names = {path.name for path in made}
    assert {"claims.html", "networks.csv", "table1.tex", "fig1.svg", "fig6.pdf", "learning.svg", "README.md"} <= names
    assert all(made.values())
    trained = {path.parent.name for path in (checkout.folder / "results/small/train").glob("*/*.json")}
    assert {path.name for path in (checkout.folder / "results/small/checkpoints").iterdir()} == trained


def test_one_target_makes_one_artefact_and_what_is_gone_is_made_again(
    checkout: Checkout, made: dict[Path, bytes]
) -> None:
    def without_artefacts() -> None:
        for path in artefacts(checkout):
            path.unlink()

    (record, *_) = sorted((checkout.folder / "results/small/train").glob("EfficientNet*/1x-1.json"))
    record.unlink()
    for target, rules in {"claims": ["claims", "overview", "train"], "prediction": ["prediction", "timings"]}.items():
        without_artefacts()
        ran = checkout.snakemake(target)
        assert ran.returncode == 0 and rules_run(ran.stdout) == rules, ran.stdout
        assert artefacts(checkout) and artefacts(checkout).items() <= made.items(), (
            "it was not trained anew: its checkpoints say that it has ended"
        )
    assert record.exists()

    without_artefacts()
    for target, rules in {
        "fig6": {"fig6"},
        "table3": {"definitions", "table3"},
        "tables": {"overview", "timings", "definitions", "tables"},
        "figures": {"overview", "definitions", "figures", "fig1", "fig6"},
    }.items():
        ran = checkout.snakemake("-n", target)
        assert ran.returncode == 0 and planned(ran.stdout) == rules, ran.stdout

    for path, content in made.items():
        path.write_bytes(content)
    (checkout.folder / "results/small/figures/fig6.svg").unlink()
    ran = checkout.snakemake("all")
    assert rules_run(ran.stdout) == ["all", "fig6"], ran.stdout
    assert artefacts(checkout) == made


def test_a_training_reserves_what_timings_say_and_waits_for_none(checkout: Checkout, made: dict[Path, bytes]) -> None:
    """A longer schedule trains all again: their times are known."""
    configure(checkout, schedules={"1x": 2})
    longer = checkout.snakemake("-n", "all").stdout
    configure(checkout)
    assert reserved(longer) == 4 * [31], f"seconds, and time to start: {longer}"
    (timings,) = (checkout.folder / "results/small/profile").iterdir()
    timings.rename(timings.with_suffix(".away"))
    (record, *_) = (checkout.folder / "results/small/train").glob("*/1x-1.json")
    alone = checkout.snakemake("-n", "--forcerun", "train", "--", str(record.relative_to(checkout.folder))).stdout
    timings.with_suffix(".away").rename(timings)
    assert reserved(alone) == [1440] and "rule profile:" not in alone, alone


def test_complexity_needs_no_record_and_the_plan_makes_none(checkout: Checkout) -> None:
    configure(checkout, sweep="other")
    ran = checkout.snakemake("complexity", "plan")
    configure(checkout)
    assert ran.returncode == 0 and set(rules_run(ran.stdout)) == {"describe", "complexity", "plan"}, ran.stdout
    assert "4 trainings, 0 of them done" in ran.stdout, ran.stdout
    folder = checkout.folder / "results/other"
    assert {path.name for path in folder.iterdir()} == {"complexity", "logs", "sweep.json"}
    assert "Complexity alone" in (folder / "complexity/tables/networks.md").read_text()


def test_a_search_finds_a_base_that_is_scaled(checkout: Checkout) -> None:
    """Candidates are trained first; what rests on the best one is planned then."""
    space = {"depth": [2, 4], "w0": [8, 16], "wa": [4, 16], "group_width": [8], "resolution": [12, 20, 4]}
    space |= {"stages": [1, 3], "stem_width": 8}
    search = {"Found": {"family": "RegNetY", "flops": [4e4, 1e5], "networks": 2, "space": space}}
    table = {"networks": ["Found", "Found->4x"]}
    configure(
        checkout,
        trials=2,
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
    configure(checkout)
    assert "Nothing to be done" in again.stdout, again.stdout


def test_a_wider_sweep_trains_only_what_is_new(checkout: Checkout, made: dict[Path, bytes]) -> None:
    """Also: the same point under another name is the same network."""
    timed = checkout.record("profile/fixed.json")["records"]
    grid = {"bases": ["RegNetY-tiny", "EN-tiny"], "strategies": ["w", "alpha=1"], "scales": [1, 2, 4]}
    configure(checkout, grid=grid, figures={})
    wider = checkout.snakemake("-n", "all")
    assert "rule scale:" in wider.stdout and len(reserved(wider.stdout)) == 2, wider.stdout
    ran = checkout.snakemake("results/small/profile/fixed.json")
    records = {record["network"]: record for record in checkout.record("profile/fixed.json")["records"]}
    again = [record.pop("again", []) for record in records.values()]
    configure(checkout)
    assert ran.returncode == 0 and len(records) == 6 and all(records[one["network"]] == one for one in timed), (
        "what is timed already keeps its times"
    )
    assert 1 <= sum(map(len, again)) <= 3, "some of it is timed once more, to tell drift"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trails": 3}, "config.yaml: unknown key 'trails'"),
        ({"data": {"kind": "imagefolder", "classes": 3, "path": "nowhere"}}, "nowhere"),
    ],
)
def test_a_mistake_is_a_sentence_and_a_failure(
    checkout: Checkout, made: dict[Path, bytes], change: dict, told: str
) -> None:
    configure(checkout, **change)
    before = sorted((checkout.folder / "results").rglob("*.json"))
    ran = checkout.snakemake("all")
    configure(checkout)
    assert ran.returncode != 0 and told in ran.stdout, ran.stdout
    assert "Traceback" not in ran.stdout
    assert [path for path in before if not path.exists()] == []


def test_without_slurm_the_slurm_profile_says_so(checkout: Checkout) -> None:
    ran = checkout.snakemake("--profile", "slurm", "all", PATH="/nonexistent")
    assert ran.returncode != 0 and "sbatch" in ran.stdout, ran.stdout


def test_damaged_data_is_told_before_a_job_asks_for_a_gpu(checkout: Checkout, made: dict[Path, bytes]) -> None:
    (beton,) = checkout.folder.glob("data/*/train.beton")
    (record, *_) = sorted((checkout.folder / "results/small/train").glob("*/*.json"))
    record.unlink()
    whole = beton.read_bytes()
    beton.write_bytes(whole[:-1])
    ran = checkout.snakemake("all")
    beton.write_bytes(whole)
    assert ran.returncode != 0 and "train.beton is damaged" in ran.stdout, ran.stdout
    assert "rule train" not in ran.stdout and "Traceback" not in ran.stdout
