"""A workflow of rules with given resources, and the results of its jobs: runs of the command, and Slurm's facts."""

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
    """Write a workflow with one rule per name in `asked`, which holds the rule's threads and resources."""
    rules = [f"rule all:\n    input: {[f'{name}.txt' for name in asked]!r}\n", "localrules: all\n"]
    for name, resources in asked.items():
        lines = [f"{key}={value!r}," for key, value in resources.items() if key != "threads"] or ["mem_mb=50,"]
        rules.append(RULE.format(name=name, threads=resources.get("threads", 1), resources="\n        ".join(lines)))
    return "".join(rules)


@dataclass(frozen=True)
class Got:
    """The result of such a rule: how often its command ran, and what the job and Slurm wrote into its output."""

    runs: int
    text: str

    @property
    def facts(self) -> dict[str, str]:
        """Return the NAME=VALUE words of the text by name; the last one where a name stands twice."""
        return dict(word.split("=", 1) for word in self.text.split() if "=" in word)


def got(folder: Path, name: str) -> Got:
    """Read the result of the rule with this name from a project's folder."""
    runs, output = folder / f"{name}.txt.runs", folder / f"{name}.txt"
    text = output.read_text() if output.exists() else ""
    return Got(len(runs.read_text().splitlines()) if runs.exists() else 0, text)
