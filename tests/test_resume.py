"""A training that was killed anywhere ends with the bits of one that was not, on a CPU."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fastscale.data import write_betons

pytestmark = pytest.mark.slow

DATA = {"kind": "fashion-mnist", "classes": 10, "train_images": 2000, "val_images": 500, "write_mode": "raw"}
RECIPE = {"epochs": 4, "batch": 64, "lr": 4.0, "crop_scale": [0.25, 1.0], "eval_crop": 1.0}
RECIPE |= {"nesterov": True, "precise_bn": 512, "lighting": 0.1}
STEPS = 31  # per epoch
EXAMPLES = int(os.environ.get("EXAMPLES", "4"))
STOPPING = str(Path(__file__).with_name("stopping"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_betons(DATA, tmp_path_factory.mktemp("fashion")).folder


def start(data: Path, folder: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    """Start the training whose record and checkpoints lie in `folder`."""
    command = [sys.executable, "-m", "fastscale.cli.main", "train", "EN-tiny", "--classes", "10", "--data", str(data)]
    command += ["--recipe", json.dumps(RECIPE), "--schedule", "1x", "--device", "cpu", *options]
    command += ["--checkpoints", str(folder / "checkpoints"), "--record", str(folder / "record.json")]
    environment = {**os.environ, **environment}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(data: Path, folder: Path, *options: str) -> str:
    """Run the training to its end; returns its output."""
    process = start(data, folder, *options)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


def outcome(folder: Path) -> dict:
    """Read all that must be equal: numbers of the record and of each epoch, and every bit of the last state."""
    record = json.loads((folder / "record.json").read_text())
    numbers = {key: record[key] for key in ("status", "epochs", "top1_error", "top5_error", "train_loss")}
    (last,) = (folder / "checkpoints").glob(f"*/step-{RECIPE['epochs'] * STEPS:09}.pt")
    state = torch.load(last, weights_only=True)
    epochs = [{key: row[key] for key in ("epoch", "lr", "train_loss", "top1_error")} for row in state["log"]]
    tensors = {(part, name): t for part in ("model", "average") for name, t in state[part].items()}
    tensors |= {("momentum", i): t["momentum_buffer"] for i, t in state["optimizer"]["state"].items()}
    return {"numbers": numbers, "epochs": epochs, "bits": {key: t.numpy().tobytes() for key, t in tensors.items()}}


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, float]:
    """Train without interruption; returns the outcome that is expected of all others, and the seconds it takes."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    finish(data, folder, "--warm")  # the first training starts the server
    (folder / "record.json").unlink()
    for path in (folder / "checkpoints").rglob("*.*"):
        path.unlink()
    began = time.monotonic()
    finish(data, folder, "--warm")
    return outcome(folder), time.monotonic() - began


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_killed_at_random_points(data: Path, tmp_path: Path, uninterrupted: tuple[dict, float], seed: int) -> None:
    """Twice, wherever a random time falls: in an epoch, while saving, while validating, after the last step."""
    expected, seconds = uninterrupted
    clock = random.Random(seed)
    for _ in range(2):
        process = start(data, tmp_path, "--warm")
        time.sleep(seconds * clock.uniform(0.2, 1.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(data, tmp_path, "--warm")
    assert outcome(tmp_path) == expected


def test_stopped_by_slurms_signal_within_an_epoch(
    data: Path, tmp_path: Path, uninterrupted: tuple[dict, float]
) -> None:
    """At USR2 the training saves its state after the running step and says so; the next process goes on from there."""
    process = start(data, tmp_path, PYTHONPATH=STOPPING, STOP_AFTER_STEP=str(STEPS + 5))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 75 and f"stopped by a signal after epoch {1 + 5 / STEPS:.4g}" in output, output
    newest = max((tmp_path / "checkpoints").glob("*/step-*.pt"))
    assert int(newest.stem.removeprefix("step-")) == STEPS + 5
    assert not (tmp_path / "record.json").exists()
    assert "resumed after epoch 1." in finish(data, tmp_path, "--warm")
    assert outcome(tmp_path) == uninterrupted[0]
    assert 1 < json.loads((tmp_path / "record.json").read_text())["resumed"][0] < 2
