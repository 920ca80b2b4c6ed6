"""A real sweep on a real Slurm: `snakemake --profile slurm all`."""

import re
import shutil
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml
from checkout import Checkout
from cluster import Cluster

from fastscale.analysis import aggregate
from fastscale.records.networks import write_networks
from fastscale.sweep.sweep import Sweep

pytestmark = pytest.mark.slow

EN = {"bases": ["EN-tiny"], "strategies": ["w"]}  # four trainings: two scales, two trials each


def snakemake_all(checkout: Checkout, slurm: Cluster) -> CompletedProcess[str]:
    # The GPUs are device files: the trainings hold them and compute on the CPU.
    options = ["--set-resources", "train:gpu=1", "--submitit-poll-interval", "1"]
    return checkout.snakemake("--profile", "slurm", "all", *options, SLURM_CONF=slurm.environment["SLURM_CONF"])


def test_four_trainings_two_at_a_time_on_two_gpus(checkout: Checkout, slurm: Cluster) -> None:
    checkout.configure(grid=EN, figures={"fig6": EN})
    ran = snakemake_all(checkout, slurm)
    assert ran.returncode == 0, ran.stdout
    submitted = re.findall(r"Submitted job \d+ \(train\) as Slurm job ([\d_]+); log: .*?/train/", ran.stdout)
    assert len(set(submitted)) == 4, ran.stdout
    assert slurm.most_at_once(submitted) == 2
    records = [checkout.record(f"train/{path.parent.name}/{path.name}") for path in train_records(checkout)]
    assert {record["provenance"]["slurm_job"] for record in records} == set(submitted)
    assert (checkout.folder / "results/small/figures/fig6.svg").exists()
    again = checkout.snakemake("-n", "all")
    assert "Nothing to be done" in again.stdout, "a job knows as well as its Snakemake in which state the images were"


def test_counts_are_the_same_as_in_this_process(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of the networks and the tables have the same bytes; of tables with times, the columns before them."""
    monkeypatch.chdir(checkout.folder)
    swept, sweep = Path("results/small"), Sweep.from_config(yaml.safe_load(Path("config.yaml").read_text()))
    write_networks(tmp_path / "fixed.json", sweep.networks.values())
    assert (swept / "networks/fixed.json").read_bytes() == (tmp_path / "fixed.json").read_bytes()
    counted = [name for name in sweep.artefacts if name.startswith("table") or name in ("networks", "published")]
    files = [path for name in counted for path in aggregate(sweep, name, "complexity") if path.suffix == ".csv"]
    tables = {path.name: path.read_text() for path in files}
    assert set(tables) >= {"networks.csv", "published.csv", "table1.csv"}
    for name, table in tables.items():
        assert up_to_counts((swept / "tables" / name).read_text()) == up_to_counts(table), name


def up_to_counts(table: str) -> list[list[str]]:
    """Return a table's rows without the columns of times and errors."""
    header, *rows = (line.split(",") for line in table.splitlines())
    columns = header.index("epoch_seconds") if "epoch_seconds" in header else len(header)
    return [row[:columns] for row in (header, *rows)]


def test_a_failing_training_is_reported_with_its_slurm_job_and_log(checkout: Checkout, slurm: Cluster) -> None:
    record, other, *_ = train_records(checkout)
    for path in (record, other):
        path.unlink()
    checkpoints = checkout.folder / "results/small/checkpoints" / record.parent.name / record.stem
    shutil.rmtree(checkpoints)
    checkpoints.write_text("a file where a folder should be")
    ran = snakemake_all(checkout, slurm)
    assert ran.returncode != 0 and other.exists() and not record.exists(), ran.stdout
    ((slurm_id, log),) = re.findall(
        r"Slurm job ([\d_]+) ended as FAILED \(NonZeroExitCode\); its log is (.+?\.out)\. ", ran.stdout
    )
    assert slurm.described(slurm_id)["JobState"] == "FAILED"
    told = f"cannot write {checkpoints.relative_to(checkout.folder)}"
    assert Path(log).exists() and told in ran.stdout, ran.stdout


def train_records(checkout: Checkout) -> list[Path]:
    return sorted((checkout.folder / "results/small/train").glob("*/*.json"))
