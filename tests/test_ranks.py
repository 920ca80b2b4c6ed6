"""Several ranks train one network as one rank does, on a CPU with gloo."""

import json
import os
import signal
import subprocess
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from test_warm import SCRIPT, hostile
from torch import multiprocessing as processes
from tqdm import tqdm

from fastscale.cli.main import main
from fastscale.data import write_betons

pytestmark = pytest.mark.slow

__all__ = ["hostile"]

DATA = {"kind": "fashion-mnist", "classes": 10, "train_images": 640, "val_images": 250, "write_mode": "raw"}
RECIPE = {"epochs": 2, "batch": 64, "norm_batch": 16, "lr": 1.0, "eval_crop": 1.0}
RECIPE |= {"nesterov": True, "precise_bn": 128, "lighting": 0.1}
STEPS = 10  # per epoch
STOPPING = str(Path(__file__).with_name("stopping"))

# Its processes are forks of one that has imported what trainings import (in a rank, torch imports its compiler).
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["fastscale.cli.main", "fastscale.training.run", "torch._dynamo", "pytest"])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_betons(DATA, tmp_path_factory.mktemp("fashion")).folder


def arguments(data: Path, folder: Path, ranks: int) -> list[str]:
    words = ["train", "EN-tiny", "--classes", "10", "--data", str(data), "--recipe", json.dumps(RECIPE)]
    words += ["--schedule", "1x", "--device", "cpu", "--ranks", str(ranks)]
    return [*words, "--checkpoints", str(folder / "checkpoints"), "--record", str(folder / "record.json")]


def kill_rank_one(step: int) -> None:
    """Have rank 1 kill itself after a step, when rank 0 has taken this step too; ranks that are forked later do so."""
    update, steps = tqdm.update, []

    def counted(bar: tqdm, n: float = 1) -> bool | None:
        steps.append(n)
        if len(steps) == step and torch.distributed.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return update(bar, n)

    tqdm.update = counted


def become(arguments: list[str], log: Path, kill_after: int | None) -> None:
    """Be `fastscale ARGUMENTS`, whose output goes to a file, and whose ranks are forks too."""
    with log.open("w") as output:
        for standard in (1, 2):
            os.dup2(output.fileno(), standard)
    start = processes.start_processes
    processes.start_processes = lambda *rest, **options: start(*rest, **{**options, "start_method": "fork"})
    if kill_after:
        kill_rank_one(kill_after)
    main(arguments)


def fork(data: Path, folder: Path, ranks: int, kill_after: int | None = None) -> tuple[int, str]:
    """Train, in processes that start at once; returns the exit code and the output."""
    log = folder.with_suffix(".log")
    process = FORKS.Process(target=become, args=(arguments(data, folder, ranks), log, kill_after))
    process.start()
    process.join(timeout=240)
    assert process.exitcode is not None, log.read_text()
    return process.exitcode, log.read_text()


def start(data: Path, folder: Path, ranks: int, where: Path, **environment: str) -> tuple[int, str]:
    """Train as a user does, in the folder `where`; returns the exit code and the output."""
    command, environment = [SCRIPT, *arguments(data, folder, ranks)], {**os.environ, **environment}
    ran = subprocess.run(
        command, cwd=where, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return ran.returncode, ran.stdout


def outcome(folder: Path) -> tuple[dict, dict]:
    """Return the record and the last checkpoint."""
    newest = max((folder / "checkpoints").glob("*/step-*.pt"))
    return json.loads((folder / "record.json").read_text()), torch.load(newest, weights_only=True)


def test_two_ranks_train_as_one_rank_does(data: Path, tmp_path: Path, hostile: Path) -> None:
    """To equal weights, averages and statistics but for rounding, even if one rank is killed and both are stopped.

    The command that is stopped is a user's, in a folder whose files are named like modules: the ranks import none.
    """
    one, two = tmp_path / "one", tmp_path / "two"
    code, output = fork(data, one, 1)
    assert code == 0 and "FutureWarning" not in output, output
    code, output = fork(data, two, 2, kill_after=STEPS + 1)
    assert code == 128 + signal.SIGKILL and "rank 1 of 2 was ended by SIGKILL" in output, output

    # Ranks ask each other every few steps whether to stop.
    code, output = start(data, two, 2, hostile, PYTHONPATH=STOPPING, STOP_AFTER_STEP="1")
    assert code == 75 and "stopped by a signal after epoch 1." in output, output
    assert output.count("resumed after epoch 1 of 2") == 1 and "FutureWarning" not in output, output
    code, output = fork(data, two, 2)
    assert code == 0 and output.count("resumed after epoch 1.") == 1, output

    (record, state), (shared, shared_state) = outcome(one), outcome(two)
    assert (record["ranks"], shared["ranks"], shared["batch"]) == (1, 2, 64)
    assert [row["top1_error"] for row in state["log"]] == [row["top1_error"] for row in shared_state["log"]]
    for part in ("model", "average"):
        floats = {name: tensor for name, tensor in state[part].items() if tensor.is_floating_point()}
        for name, tensor in floats.items():
            torch.testing.assert_close(shared_state[part][name], tensor, rtol=1e-3, atol=1e-4, msg=f"{part} {name}")
