"""Warm starts: forked trainings are trainings like all others, and end with the command that asked for them."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from fastscale.data import write_betons

RECIPE = {"epochs": 1, "batch": 64, "lr": 4.0, "crop_scale": [0.75, 1.0], "eval_crop": 1.0}
DATA = {"kind": "fashion-mnist", "classes": 10, "train_images": 1000, "val_images": 200, "write_mode": "raw"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warm")
    write_betons(DATA, folder / "data")
    return folder


@pytest.fixture
def command(folder, tmp_path):
    """A warm training of a test, relative to the folder, as the DAG's are."""

    def command(data="data", **changes):
        arguments = ["train", "RegNetY-tiny", "--classes", "10", "--data", data, "--schedule", "1x"]
        arguments += ["--recipe", json.dumps({**RECIPE, **changes})]
        arguments += ["--checkpoints", str(tmp_path / "checkpoints"), "--device", "cpu", "--warm"]
        return [sys.executable, "-m", "fastscale.cli", *arguments, "--record", str(tmp_path / "record.json")]

    return command


def run(command, folder):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def rows(path):
    return path.read_text().splitlines()[1:] if path.exists() else []


def wait(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def forks_of(log):
    """The processes that write to a file, beside the command that was started with it."""
    found = set()
    for output in Path("/proc").glob("[0-9]*/fd/1"):
        with suppress(OSError):
            if output.readlink() == log:
                found.add(int(output.parts[2]))
    return found


@pytest.mark.slow
def test_warm_training_leaves_the_record_of_a_cold_one(command, folder, tmp_path):
    done = run(command(), folder)
    assert done.returncode == 0, done.stderr
    warm = json.loads((tmp_path / "record.json").read_text())
    assert (warm["status"], warm["epochs"], warm["data"]["images"]) == ("finished", 1, {"train": 1000, "val": 200})
    for checkpoint in (tmp_path / "checkpoints").rglob("*"):
        if checkpoint.is_file():
            checkpoint.unlink()
    assert run([*command(), "--cold"], folder).returncode == 0
    cold = json.loads((tmp_path / "record.json").read_text())
    measured = ("top1_error", "top5_error", "train_loss", "seconds")
    for record in (warm, cold):
        del record["provenance"]["date"], record["digest"]
        assert all(record.pop(key) is not None for key in measured)
    assert warm == cold


def test_mistake_is_told_by_the_command_itself(command, folder):
    done = run(command(data="nowhere"), folder)
    assert done.returncode == 1 and "nowhere" in done.stderr and "data.json is missing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_killed_command_ends_its_training_and_the_next_resumes(command, folder, tmp_path):
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command(epochs=500), cwd=folder, stdout=output, stderr=output)
    wait(lambda: len(rows(tmp_path / "record.csv")) >= 2 or process.poll() is not None)
    assert process.poll() is None, log.read_text()
    (fork,) = forks_of(log) - {process.pid}
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait(lambda: not is_running(fork))
    epochs = len(rows(tmp_path / "record.csv"))

    with log.open("w") as output:
        process = subprocess.Popen(command(epochs=500), cwd=folder, stdout=output, stderr=output)
    wait(lambda: len(rows(tmp_path / "record.csv")) > epochs or process.poll() is not None)
    (fork,) = forks_of(log) - {process.pid}
    os.kill(fork, signal.SIGKILL)
    assert process.wait(timeout=30) == 128 + signal.SIGKILL, "what ends the fork is told by the command"
    assert "resumed after epoch" in log.read_text()


def test_no_warm_start_on_a_gpu_nor_within_slurm(monkeypatch):
    from fastscale.warm import can_run

    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert can_run("cpu") and not can_run("cuda") and not can_run(None)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert not can_run("cpu")
