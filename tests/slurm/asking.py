"""Rules that ask Slurm for something, and what they got: each run of a command leaves a line, Slurm tells the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RULE = """
rule {name}:
    output:
        "{name}.txt",
    threads: {threads}
    resources:
        {resources}
    shell:
        "echo $SLURM_JOB_ID $SLURM_PROCID $$ >> {{output}}.runs; sleep 1; "
        "echo Threads={{threads}} RuleMemory={{resources.mem_mb}} StepCPUs=$SLURM_CPUS_PER_TASK "
        "GPUs=${{{{CUDA_VISIBLE_DEVICES-}}}} > {{output}}; "
        "scontrol -o show job $SLURM_JOB_ID >> {{output}}"
"""


def workflow(asked: Mapping[str, Mapping[str, Any]]) -> str:
    """A workflow with a rule for each of `asked`: its threads and resources, by its name."""
    rules = [f"rule all:\n    input: {[f'{name}.txt' for name in asked]!r}\n", "localrules: all\n"]
    for name, resources in asked.items():
        lines = [f"{key}={value!r}," for key, value in resources.items() if key != "threads"] or ["mem_mb=50,"]
        rules.append(RULE.format(name=name, threads=resources.get("threads", 1), resources="\n        ".join(lines)))
    return "".join(rules)


@dataclass(frozen=True)
class Got:
    """What became of such a rule: how often its command ran, and what Slurm and Snakemake said to it."""

    runs: int
    text: str

    @property
    def facts(self) -> dict[str, str]:
        """The text's words, by name; of names that come twice the last."""
        return dict(word.split("=", 1) for word in self.text.split() if "=" in word)


def got(folder: Path, name: str) -> Got:
    """What became of the rule of this name, in a project's folder."""
    runs, output = folder / f"{name}.txt.runs", folder / f"{name}.txt"
    text = output.read_text() if output.exists() else ""
    return Got(len(runs.read_text().splitlines()) if runs.exists() else 0, text)
