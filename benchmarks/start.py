"""From the start of a process to the end of its first training step on a CPU, beside that of another commit.

python benchmarks/start.py [--against COMMIT] [--rounds 7]
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import click
import yaml
from compare import OURS, row, turns, write

from fastscale.data import write_betons
from fastscale.sweep.sweep import Sweep

ROOT = Path(__file__).parents[1]
# The command of rule `train`, ended after its first step.
FIRST_STEP = """
import os, sys
from fastscale.cli.main import main

def exit_after(step):
    def run(*arguments):
        step(*arguments)
        os._exit(0)
    return run

def watch(name, *arguments, import_module=__import__):
    module = import_module(name, *arguments)
    training = sys.modules.get("fastscale.training.trainer")
    if training and hasattr(training, "Training") and not hasattr(training, "watched"):
        training.watched, training.Training._update = True, exit_after(training.Training._update)
    return module

import builtins
builtins.__import__ = watch
main(sys.argv[1:])
"""


@click.command()
@click.option("--against", metavar="COMMIT", help="Of this repository.")
@click.option("--rounds", default=7)
def main(against: str | None, rounds: int) -> None:
    """Start processes, and write the table."""
    sweep = Sweep.from_config(yaml.safe_load((ROOT / "config.yaml").read_text()))
    network = next(point.network for point in sweep.points if point.base == "EN-tiny" and point.strategy == "base")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_betons(sweep.config["data"], folder / "data", threads=1)
        options = [json.dumps(network.to_dict()), "--data", str(folder / "data"), "--schedule", "1x", "--trial", "1"]
        options += ["--threads", "1", "--device", "cpu", "--recipe", json.dumps(sweep.recipe("1x"))]

        def first_step(root: Path, recipe: dict) -> Callable[[], None]:
            environment = {**os.environ, "PYTHONPATH": str(root)}
            given = [*options[:-1], json.dumps(recipe)]

            def run() -> None:
                with tempfile.TemporaryDirectory(dir=folder) as new:
                    own = ["--checkpoints", f"{new}/checkpoints", "--record", f"{new}/record.json"]
                    command = [sys.executable, "-c", FIRST_STEP, "train", *given, *own]
                    subprocess.run(command, env=environment, cwd=new, check=True)

            return run

        contenders = {OURS: first_step(ROOT, sweep.recipe("1x"))}
        if against:
            other = folder / "other"
            subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", other, against], check=True)
            stack.callback(subprocess.run, ["git", "-C", ROOT, "worktree", "remove", "--force", other], check=True)
            recipe = {key: value for key, value in sweep.recipe("1x").items() if key != "augment"}
            contenders[f"commit {against}"] = first_step(other, recipe)
        found = turns(contenders, rounds)
    write("start", "Seconds from the start of a process to the end of its first step.", row("EN-tiny", found), ["ffcv"])


if __name__ == "__main__":
    main()
