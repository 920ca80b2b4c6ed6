"""The Snakemake inside a Slurm job: it gets the main process's settings, and runs each attempt once."""

import random
from pathlib import Path

import pytest
from cluster import Cluster
from project import PROFILE, Project, until
from telling import PIECES, Told, as_name, written

pytestmark = pytest.mark.slow


def test_hostile_values_in_one_array(tmp_path: Path, slurm: Cluster) -> None:
    """No shell evaluates the values: jobs see the same values as in a local Snakemake."""
    lot = random.Random(16)
    words = ["".join(lot.sample(PIECES, 4)) for _ in range(20)]
    names = [as_name("".join(words[i : i + 3])) for i in range(0, 12, 3)]
    pairs = [(names[0], names[1]), (names[2], names[3])]
    file = {"list": [*words, *PIECES], "nested": {word: {"value": word} for word in words}, 1: None, "01": 1e5}
    told = Told(
        pairs, words[0], file, {"line_1": "'$(touch PWNED)'x", "line_2": "a\\d+", "line_3": 'it\'s `id` "$HOME"'}
    )
    local = told.run(tmp_path / "here", "--force-use-threads")
    assert local.returncode == 0, local.stdout
    options = ["--profile", str(PROFILE), "--submitit-poll-interval", "1", "--group-components", "it's a $(group)/1=2"]
    folder = tmp_path / "it's $(touch PWNED) `touch PWNED`"
    ran = told.run(folder, *options, **slurm.environment)
    assert ran.returncode == 0, ran.stdout
    assert written(folder) == written(tmp_path / "here") and len(written(folder)) == 6
    assert not list(tmp_path.rglob("PWNED"))
    assert ran.stdout.count("_1; log: ") == 1  # both jobs in one array


def test_jobs_keep_the_configuration_of_their_submission(project: Project, slurm: Cluster) -> None:
    """The configuration is edited while they wait; and they import no module from the folder.

    Each attempt of a rule is a new Slurm job with the memory of that attempt, and the command sees this memory.
    """
    project.write(
        """
configfile: "config.yaml"
rule waits:
    output: "waits.txt"
    resources: slurm_partition="spot"
    shell: "echo '{config}' > {output}"
rule grows:
    output: "grows.txt"
    retries: 2
    resources: mem_mb=lambda wildcards, attempt: attempt * 200, slurm_partition="spot"
    shell: "echo $SLURM_JOB_ID $SLURM_MEM_PER_NODE {resources.mem_mb} {config[lr]} >> runs; false"
"""
    )
    (project.folder / "config.yaml").write_text("{lr: 4.0, kept: [1, two], gone: true}")
    slurm.run("scontrol", "update", "partition=spot", "state=down")
    try:
        process = project.start("waits.txt", "grows.txt")
        until(lambda: len(slurm.jobs()) == 2, seconds=60)
        (project.folder / "config.yaml").write_text("{lr: 1.0, kept: [1, 2, 3], new: 1}")
        for module in ("numpy", "submitit"):
            (project.folder / f"{module}.py").write_text("raise SystemExit('from the current folder')")
    finally:
        slurm.run("scontrol", "update", "partition=spot", "state=up")
    output, _ = process.communicate(timeout=180)
    assert process.returncode != 0 and not (project.folder / "grows.txt").exists(), output
    assert (project.folder / "waits.txt").read_text() == "{lr: 4.0, kept: [1, two], gone: True}\n"
    runs = (project.folder / "runs").read_text().splitlines()
    jobs, slurms, rules, rates = zip(*map(str.split, runs), strict=True)
    assert len(set(jobs)) == 3 == project.count("sbatch") - 1, output
    assert slurms == rules == ("200", "400", "600") and set(rates) == {"4.0"}
