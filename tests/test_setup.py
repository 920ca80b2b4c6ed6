"""What users rely on in requirements/: sentences for what is missing, no cost once done, nothing unpinned."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ["bash", "cat", "dirname", "env", "head", "id", "rm", "sha256sum", "sort"]


@pytest.fixture
def bare_machine(tmp_path):
    """Run setup.sh on a copy, where only TOOLS and the given programs are found: no compiler, no pkg-config, no apt."""
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "bin"
    path.mkdir()
    for tool in TOOLS:
        (path / tool).symlink_to(shutil.which(tool))

    def setup(job, **programs):
        for name, text in programs.items():
            (path / name).write_text(text)
            (path / name).chmod(0o755)
        command = [tmp_path / "requirements/setup.sh", job]
        done = subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True)
        assert not (tmp_path / ".venv").exists(), "a set-up that cannot end must not begin"
        return done

    return setup


def test_wrong_python_is_a_sentence(bare_machine):
    done = bare_machine("run", python3="#!/bin/sh\necho 3.10.13")
    assert done.returncode == 1
    assert "needs Python 3.11, 3.12 or 3.13, but found python3 (3.10.13), no python3.13" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("job", "more"), [("run", set()), ("test", {"slurm-wlm"})])
def test_missing_system_packages_are_one_line_to_run(bare_machine, job, more):
    done = bare_machine(job, python3=f'#!/bin/sh\nexec "{sys.executable}" "$@"')
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    line = done.stderr.split("run apt-get update && apt-get install -y --no-install-recommends ")[1]
    named = set(line.split())
    assert {"g++", "pkg-config", "libopencv-dev", "libturbojpeg0-dev"} | more <= named
    assert more or "slurm-wlm" not in named


@pytest.mark.skipif(not (ROOT / ".venv/set-up/test").exists(), reason="`make setup-test` did not run here")
def test_second_set_up_costs_nothing():
    command = [ROOT / "requirements/setup.sh", "test"]
    subprocess.run(command, check=True)
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert time.monotonic() - start < 0.5
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("name", ["lock.txt", "setup.txt"])
def test_lock_files_pin_and_hash_everything_and_name_no_host(name):
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    for requirement in text.replace("\\\n", " ").splitlines():
        assert re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", requirement), requirement
