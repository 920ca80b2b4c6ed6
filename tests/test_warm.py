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
    """Return what makes the command of a warm training; its paths are relative to the folder, as in the DAG."""

    def command(data="data", program=(sys.executable, "-m", "fastscale.cli.main"), **changes):
        arguments = ["train", "RegNetY-tiny", "--classes", "10", "--data", data, "--schedule", "1x"]
        arguments += ["--recipe", json.dumps({**RECIPE, **changes})]
        arguments += ["--checkpoints", str(tmp_path / "checkpoints"), "--device", "cpu", "--warm"]
        return [*program, *arguments, "--record", str(tmp_path / "record.json")]

    return command


def run(command, folder):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


def rows(path):
    return path.read_text().splitlines()[1:] if path.exists() else []


def wait(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"  # a zombie has ended
    except (FileNotFoundError, ProcessLookupError):
        return False


def stop_servers():
    """Kill the servers of this Python, and their forks with them; wait until all servers have ended."""
    started = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            arguments = path.read_bytes().decode().split("\0")
            if arguments[0] == sys.executable and "fastscale.cli.warm" in arguments:
                started.append(int(path.parent.name))
    for pid in started:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait(lambda: not any(map(is_running, started)))


def forks_of(log):
    """Return the numbers of the processes whose standard output is the file `log`."""
    pids = set()
    for output in Path("/proc").glob("[0-9]*/fd/1"):
        with suppress(OSError):
            if output.readlink() == log:
                pids.add(int(output.parts[2]))
    return pids


SCRIPT = str(Path(sys.executable).with_name("fastscale"))


@pytest.fixture
def hostile(tmp_path):
    """Make a folder whose files are named like modules: trainings may be started in any folder."""
    hostile = tmp_path / "hostile"
    (hostile / "fastscale").mkdir(parents=True)
    for name in ("fastscale/__init__", *(name for name in sys.stdlib_module_names if name[0] != "_"), "torch", "yaml"):
        (hostile / f"{name}.py").write_text(f"raise SystemExit('imported {name} from the current folder')")
    return hostile


def trained(command, folder, record):
    """Train in a hostile folder, and read the record: neither the training nor its server imports from there."""
    done = run(command, folder)
    assert done.returncode == 0 and "starts by itself" not in done.stderr, done.stderr
    return json.loads(record.read_text())


@pytest.mark.slow
def test_warm_training_leaves_the_record_of_a_cold_one(command, folder, tmp_path, hostile):
    stop_servers()
    start = command(data=str(folder / "data"), program=[SCRIPT])
    warm = trained(start, hostile, tmp_path / "record.json")
    assert (warm["status"], warm["epochs"], warm["data"]["images"]) == ("finished", 1, {"train": 1000, "val": 200})
    for checkpoint in (tmp_path / "checkpoints").rglob("*"):
        if checkpoint.is_file():
            checkpoint.unlink()
    cold = trained([*start, "--cold"], hostile, tmp_path / "record.json")
    measured = ("top1_error", "top5_error", "train_loss", "seconds")
    for record in (warm, cold):
        del record["provenance"]["date"], record["digest"]
        assert all(record.pop(key) is not None for key in measured)
    assert warm == cold


def test_mistake_is_told_by_the_command_itself(command, folder):
    done = run(command(data="nowhere"), folder)
    assert done.returncode == 1 and "nowhere" in done.stderr and "data.json is missing" in done.stderr
    assert "Traceback" not in done.stderr


def begin(command, folder, tmp_path, epochs, logged=0):
    """Start a training; when it has logged more than `logged` epochs, return the command's process and its fork's."""
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command(epochs=epochs), cwd=folder, stdout=output, stderr=output)
    wait(lambda: len(rows(tmp_path / "record.csv")) > logged or process.poll() is not None)
    assert process.poll() is None, log.read_text()
    (fork,) = forks_of(log) - {process.pid}
    return process, fork


@pytest.mark.slow
def test_killed_command_ends_its_training_and_the_next_resumes(command, folder, tmp_path):
    process, fork = begin(command, folder, tmp_path, epochs=500, logged=1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait(lambda: not is_running(fork))

    process, fork = begin(command, folder, tmp_path, epochs=500, logged=len(rows(tmp_path / "record.csv")))
    os.kill(fork, signal.SIGKILL)
    assert process.wait(timeout=30) == 128 + signal.SIGKILL, "the command reports which signal ended its fork"
    assert "resumed after epoch" in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_no_training_outlives_the_process_that_it_was_forked_from(command, folder, tmp_path):
    """The server is killed, as by a lack of memory: the training goes on from its last epoch, in one process only."""
    process, fork = begin(command, folder, tmp_path, epochs=15)
    os.kill(fork, signal.SIGSTOP)  # it has not ended when its server is killed
    stop_servers()
    assert not is_running(fork)
    log = tmp_path / "log"
    assert process.wait(timeout=600) == 0, log.read_text()
    assert log.read_text().count("this training starts by itself") == 1 and "resumed after epoch" in log.read_text()
    assert json.loads((tmp_path / "record.json").read_text())["epochs"] == 15


@pytest.mark.slow
def test_data_are_written_where_files_are_named_like_modules(tmp_path):
    for name in sys.stdlib_module_names:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('imported {name} from the current folder')")
    done = run([SCRIPT, "data", "written", "--config", json.dumps(DATA), "--threads", "2"], tmp_path)
    assert done.returncode == 0 and "from the current folder" not in done.stderr, done.stderr


# Python imports this file, sitecustomize.py, at its start; in a server, the file breaks the import of one module.
BROKEN = """
import sys

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            raise ImportError("broken")

if "fastscale.cli.warm" in sys.orig_argv:
    sys.meta_path.insert(0, Broken())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "reason"),
    [("hashlib", "it ended at once, with exit code 1"), ("torch", "it ended before it could start")],
)
def test_a_warm_start_that_cannot_be_had_is_a_cold_one(command, folder, tmp_path, module, reason):
    """The server ends before it listens, or while it imports torch; the command itself can import everything."""
    (tmp_path / "sitecustomize.py").write_text(BROKEN.format(module=module))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    for _ in range(5):  # the tests beside this one start servers of the same Python, which take the command
        stop_servers()
        done = subprocess.run(command(), cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if done.stderr:
            break
    assert done.stderr.count("this training starts by itself") == 1 and reason in done.stderr, done.stderr
    assert json.loads((tmp_path / "record.json").read_text())["status"] == "finished"


def test_no_warm_start_on_a_gpu_nor_within_slurm(monkeypatch):
    from fastscale.cli.warm import can_run

    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert can_run("cpu") and not can_run("cuda") and not can_run(None)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert not can_run("cpu")
