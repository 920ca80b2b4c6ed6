"""A real sweep through a real Slurm: `snakemake --profile slurm all`, literally."""

import re

import pytest
from cluster import Cluster

pytestmark = pytest.mark.slow


def test_four_trainings_two_at_a_time_on_two_gpus(checkout, slurm: Cluster) -> None:
    # The GPUs are device files: the trainings hold them and compute on the CPU.
    options = ["--set-resources", "train:gpu=1", "--submitit-poll-interval", "1"]
    environment = {"SLURM_CONF": slurm.environment["SLURM_CONF"]}
    ran = checkout.snakemake("--profile", "slurm", "all", *options, **environment)
    assert ran.returncode == 0, ran.stdout
    submitted = re.findall(r"is Slurm job (\d+) \(log: .*?/train/", ran.stdout)
    assert len(set(submitted)) == 4, ran.stdout
    records = sorted((checkout.folder / "results/small/train").glob("*/*.json"))
    jobs = {
        checkout.record(str(path.relative_to(checkout.folder / "results/small")))["provenance"]["slurm_job"]
        for path in records
    }
    assert len(records) == 8 and jobs == set(submitted)
    assert (checkout.folder / "results/small/figures/fig6.svg").exists()
