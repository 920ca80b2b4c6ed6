"""Several ranks train one network as one rank does, on a CPU with gloo."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fastscale.data import write_betons

pytestmark = pytest.mark.slow

DATA = {"kind": "fashion-mnist", "classes": 10, "train_images": 1280, "val_images": 250, "write_mode": "raw"}
RECIPE = {"epochs": 3, "batch": 64, "norm_batch": 16, "lr": 0.5, "eval_crop": 1.0}
RECIPE |= {"nesterov": True, "precise_bn": 256, "lighting": 0.1}
STEPS = 20  # per epoch
STOPPING = str(Path(__file__).with_name("stopping"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_betons(DATA, tmp_path_factory.mktemp("fashion")).folder


def start(data: Path, folder: Path, ranks: int, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fastscale.cli.main", "train", "EN-tiny", "--classes", "10", "--data", str(data)]
    command += ["--recipe", json.dumps(RECIPE), "--schedule", "1x", "--device", "cpu", "--ranks", str(ranks)]
    command += ["--checkpoints", str(folder / "checkpoints"), "--record", str(folder / "record.json")]
    environment = {**os.environ, **environment}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wait_for_epoch(number: int, folder: Path, process: subprocess.Popen[str]) -> None:
    log, deadline = folder / "record.csv", time.monotonic() + 120
    while not (log.exists() and len(log.read_text().splitlines()) > number):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


def finish(data: Path, folder: Path, ranks: int) -> str:
    process = start(data, folder, ranks)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0 and "FutureWarning" not in output, output
    return output


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """List the numbers of a training's ranks, as processes, in the order of the ranks."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def outcome(folder: Path) -> tuple[dict, dict]:
    """Read the record and the last state of the training in a folder."""
    newest = max((folder / "checkpoints").glob("*/step-*.pt"))
    return json.loads((folder / "record.json").read_text()), torch.load(newest, weights_only=True)


def test_two_ranks_are_as_one(data: Path, tmp_path: Path) -> None:
    """The same weights, average and statistics to rounding, though a rank was killed and both ranks were stopped."""
    one, two = tmp_path / "one", tmp_path / "two"
    finish(data, one, 1)
    process = start(data, two, 2)
    wait_for_epoch(1, two, process)
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGKILL and "rank 1 of 2 was ended by SIGKILL" in output, output

    # This process goes on after the first epoch, and its steps are counted from there.
    process = start(data, two, 2, PYTHONPATH=STOPPING, STOP_AFTER_STEP=str(STEPS + 1))
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 75 and "stopped by a signal after epoch 2." in output, output
    assert finish(data, two, 2).count("resumed after epoch 2.") == 1

    (record, state), (shared, shared_state) = outcome(one), outcome(two)
    assert (record["ranks"], shared["ranks"], shared["batch"]) == (1, 2, 64)
    assert [row["top1_error"] for row in state["log"]] == [row["top1_error"] for row in shared_state["log"]]
    for part in ("model", "average"):
        floats = {name: tensor for name, tensor in state[part].items() if tensor.is_floating_point()}
        for name, tensor in floats.items():
            torch.testing.assert_close(shared_state[part][name], tensor, rtol=1e-3, atol=1e-4, msg=f"{part} {name}")
