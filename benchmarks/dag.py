"""What the DAG itself costs for each job: a sweep of trainings that do nothing beside the same commands by themselves.

python benchmarks/dag.py [--jobs 100] [--rounds 3]
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
from compare import OURS, row, turns, write

WORKFLOW = """

JOBS = range({jobs})
rule all:
    input: expand("out/{{job}}", job=JOBS)
rule job:
    output: "out/{{job}}"
    log: "logs/{{job}}.log"
    threads: 1
    shell: "touch {{output:q}} > {{log:q}} 2>&1"
"""


@click.command()
@click.option("--jobs", default=100)
@click.option("--rounds", default=3)
@click.option("--cores", default=2)
def main(jobs: int, rounds: int, cores: int) -> None:
    """Run them, and write the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Snakefile").write_text(WORKFLOW.format(jobs=jobs))
        found = turns(
            {OURS: snakemake(folder, cores), "xargs": xargs(folder, jobs, cores)},
            rounds,
        )
    title = f"Milliseconds for a job of {jobs} jobs that touch a file, {cores} at a time: the DAG beside xargs."
    write("dag", title, row("a job", found, unit=jobs / 1e3), ["snakemake"])


def snakemake(folder: Path, cores: int) -> Callable[[], object]:
    """The DAG from nothing, with this project's profile."""
    profile = Path(__file__).parents[1] / "profiles/default"
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", str(profile), "--cores", str(cores), "all"]
    return lambda: _anew(folder, command)


def xargs(folder: Path, jobs: int, cores: int) -> Callable[[], object]:
    """The same commands, each in a shell of its own."""
    one = 'touch "out/{}" > "logs/{}.log" 2>&1'
    return lambda: _anew(folder, ["bash", "-c", f"seq 0 {jobs - 1} | xargs -P {cores} -I {{}} bash -c '{one}'"])


def _anew(folder: Path, command: list[str]) -> None:
    for part in ("out", "logs", ".snakemake"):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).mkdir()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


if __name__ == "__main__":
    main()
