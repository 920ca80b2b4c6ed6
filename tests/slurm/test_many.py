"""Many small jobs, of which some are killed."""

import os
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from project import COUNTED, POLL, Project

pytestmark = pytest.mark.slow

JOBS, VICTIMS, GROUP = 60, 3, 20


def peak_memory(pid: int) -> int:
    """Return the peak memory of a process so far, in MB; 0 when the process has ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


def kill(project: Project, number: int) -> bool:
    """Kill the command of a job if it runs; return whether it did."""
    with suppress(OSError, ValueError):
        pid = int((project.folder / f"small/{number}.txt.pid").read_text())
        if f"touch small/{number}.txt" in Path(f"/proc/{pid}/cmdline").read_text():  # no other process has this pid now
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def test_a_twentieth_of_many_jobs_is_killed(project: Project) -> None:
    """Small jobs in groups, the groups in arrays. Random victims are killed in their first run. All jobs succeed."""
    left, memory, began = random.sample(range(JOBS), VICTIMS), 0, time.monotonic()
    print("to be killed:", left)
    # A process of its own: in the memory of a fork, the pages of libraries that it shares would be missing.
    project.snakemake = (sys.executable, "-m", "snakemake")
    # Each victim dies once; all those of one group may die one after the other.
    process = project.start("many", "--group-components", f"small={GROUP}", "--submitit-retries", str(GROUP))
    with ThreadPoolExecutor(1) as pool:
        output = pool.submit(process.communicate, timeout=300)
        while process.poll() is None:
            left = [number for number in left if not kill(project, number)]
            with suppress(OSError):
                memory = max(memory, peak_memory(process.pid))
            time.sleep(0.1)
    calls = {command: project.count(command) for command in COUNTED}
    seconds = time.monotonic() - began
    print(f"{seconds:.0f} s, {memory} MB, calls of Slurm: {calls}")
    assert process.returncode == 0 and not left, output.result()[0]
    assert len(list((project.folder / "small").glob("*.txt"))) == JOBS
    assert 0 < memory < 150
    assert 1 < calls["sbatch"] <= 1 + VICTIMS and calls["squeue"] <= seconds / POLL + 1
    assert calls["sacct"] == calls["scancel"] == 0 and calls["scontrol"] == 1  # for Slurm's configuration
